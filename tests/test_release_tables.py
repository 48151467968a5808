"""What chapter 17 shows: tables of a release, figures, the box, and the packages of an extra."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from test_release import finished, released  # noqa: F401  (fixtures)

torch = pytest.importorskip("torch")

from bioptimus_lib import (  # noqa: E402
    chapter,
    evidence,
    ledger,
    model_card,
    plots_release,
    release_tables,
    widgets_tag,
)
from bioptimus_lib.release_facts import Material  # noqa: E402
from bioptimus_lib.tagging import Line, Mark, Marked  # noqa: E402

ROWS = [
    {"engine": name, "megabytes": 20.0, "milliseconds": 10.0 / n, "sentences_per_second": 100.0 * n,
     "one": {"ratio": float(n)}, "many": {"ratio": float(n)}, "f1": 50.0, "differing": n - 1}
    for n, name in enumerate(("PyTorch", "ONNX", "ONNX, 8 bits"), start=1)
]  # fmt: skip


def cells(html):
    """The rows of the tables in some HTML, as lists of words."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.S)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]


# --- a release ---------------------------------------------------------------------------------


def test_every_file_is_told_with_its_hash(released):  # noqa: F811
    rows = {row[0]: row for row in cells(release_tables.files_table(released))[1:]}
    assert set(rows) == {path.name for path in released.iterdir()}
    assert all(row[2] for row in rows.values()), "each file says what it is"
    hashes = json.loads((released / "release.json").read_text())["files"]
    for name, (_, size, _, shown) in rows.items():
        assert float(size.replace(",", "")) == pytest.approx(
            (released / name).stat().st_size / 1e3, abs=0.06
        )
        assert shown == "–" if name == "release.json" else hashes[name].startswith(shown[:6])


def test_the_card_is_read_back(released):  # noqa: F811
    data = release_tables.metadata_of(released)
    assert data["license"] == "cc-by-4.0" and data["pipeline_tag"] == "fill-mask"
    found = cells(release_tables.index_table(released))
    assert ["token-classification", "toys, test", "f1, mean of 2 fine-tunings", "65.5"] in found
    assert "Not for decisions" in release_tables.section(released, "Intended use and limits")
    with pytest.raises(ValueError, match="no section 'Praise'"):
        release_tables.section(released, "Praise")


def test_every_licence_of_a_source_says_what_it_asks():
    from bioptimus_lib.source_table import table

    rows = cells(release_tables.terms_table())[1:]
    assert {row[0] for row in rows} == {source.licence for source in table().values()}
    assert {row[0] for row in rows} <= set(release_tables.ASKS)
    shown = [name for row in rows for name in row[2].split(", ")]
    assert sorted(shown) == sorted(table())


@pytest.mark.parametrize(
    ("licences", "found"),
    [
        (("CC BY 4.0", "CC BY 4.0"), "cc-by-4.0"), (("Apache-2.0",), "apache-2.0"),
        (("CC BY 4.0", "Apache-2.0"), "other"), (("none stated",), "other"),
        (("not known to this card", "CC BY 4.0"), "other"),
    ],
)  # fmt: skip
def test_a_program_names_a_licence_only_where_there_is_one(licences, found):
    assert model_card.licence_of([Material("x", "text", name) for name in licences]) == found


# --- the ledger --------------------------------------------------------------------------------


def test_tables_at_scale_say_what_is_missing_and_show_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    for show, command in ((release_tables.engines_at_scale, "bioptimus bench onnx"),
                          (release_tables.rates_at_scale, "bioptimus bench tag")):  # fmt: skip
        assert "no rows" in show() and command in show()
    common = {"dataset": "NCBI-disease", "profile": "bench", "seed": None,
              "variant": "v0.4, 1 thread"}  # fmt: skip
    common |= ledger.provenance(command="bioptimus bench", device="cpu")
    kept = [
        {**common, "model": row["engine"], "metrics": {
            "megabytes": row["megabytes"], "milliseconds": row["milliseconds"], "f1": row["f1"],
            "sentences_per_second": row["sentences_per_second"], "differing": row["differing"],
            "faster_one": row["one"]["ratio"], "faster_many": row["many"]["ratio"]}}
        for row in ROWS
    ]  # fmt: skip
    ledger.append("bench-onnx", kept, file="test")
    html = release_tables.engines_at_scale()
    assert "ONNX, 8 bits 3.3 ms, 300 a second" in html and "NCBI-disease: v0.4, 1 thread" in html
    assert cells(html)[-1] == ["ONNX, 8 bits", "20.0", "3.3", "3.00", "300", "3.00", "50.00", "2"]
    row = {
        **common, "model": "pipeline / tag", "sentences": 10_000, "pieces": 1, "seconds": {},
        "metrics": {"ratio": 3.5, "least": 3.25, "most": 4.0, "differing": 0},
    }  # fmt: skip
    ledger.append("bench-tag", row, file="test")
    assert cells(release_tables.rates_at_scale())[1] == [
        "pipeline", "NCBI-disease", "10,000", "v0.4, 1 thread", "3.50", "3.25 to 4.00", "0"
    ]  # fmt: skip


def test_the_commands_that_fill_them_are_commands():
    from bioptimus_lib.cli import build_parser

    for name in ("bench-tag", "bench-onnx"):
        words = evidence.COMMANDS[name].split()[1:]
        assert build_parser().parse_args(words).ledger == "laptop"


# --- figures -----------------------------------------------------------------------------------


def words_of(axes):
    return [text.get_text() for text in axes.texts]


def test_bars_say_their_numbers():
    (axes,) = plots_release.bars({"corpus": 1.25, "ner": 30.0}, title="t", xlabel="x",
                                 form="{:.2f}").axes  # fmt: skip
    assert [bar.get_width() for bar in axes.patches] == [1.25, 30.0]
    assert words_of(axes) == ["1.25", "30.00"]
    with pytest.raises(ValueError, match="no values"):
        plots_release.bars({}, title="t", xlabel="x")


def test_engines_have_a_panel_for_each_question_and_differ_by_more_than_colour():
    one, many = plots_release.engines(ROWS, title="t").axes
    assert words_of(one) == ["10.0", "5.0", "3.3"] and words_of(many) == ["100", "200", "300"]
    assert len({bar.get_hatch() for bar in one.patches}) == 3
    with pytest.raises(ValueError, match="no engines"):
        plots_release.engines([], title="t")


def test_blocks_have_a_point_each():
    rows = [{"block": 1, "rate": 50.0, "waited": 1}, {"block": 1000, "rate": 90.0, "waited": 12}]
    rate, waited = plots_release.blocks(rows, title="t").axes
    assert words_of(rate) == ["50", "90"] and words_of(waited) == ["1", "12"]
    assert list(rate.lines[0].get_xdata()) == [1, 1000]
    with pytest.raises(ValueError, match="no blocks"):
        plots_release.blocks([], title="t")


# --- the box -----------------------------------------------------------------------------------


class Finder:
    """Finds the word *pain*, as a tagger would."""

    tagger = SimpleNamespace(labels=("O", "B-<i>Sign", "I-<i>Sign", "B-Drug", "I-Drug"))

    def tag_lines(self, lines):
        for line in lines:
            found = re.finditer("pain", line.text)
            yield Marked(line, [Mark("<i>Sign", m.start(), m.end(), 0.5) for m in found])


def plain(html):
    return re.sub(r"<style>.*?</style>", "", html, flags=re.S)


@pytest.mark.parametrize(
    ("text", "count"),
    [("no pain & <script>alert(1)</script> pain", 2), ("", 0), ("\u202epain\u202c \x00", 1)],
)
def test_what_is_typed_is_escaped_and_set_off(text, count):
    html = plain(widgets_tag.tag_picture(Finder(), text))
    assert "<script>" not in html and "<i>" not in html
    assert html.count("50% sure") == count
    assert f"{count} {'entity' if count == 1 else 'entities'}." in html
    assert ("Nothing to read." in html) == (not text)


def test_what_is_too_long_is_cut_and_says_so():
    html = plain(widgets_tag.tag_picture(Finder(), "pain " * 2000))
    assert html.count("50% sure") == 1000 and "the first 5,000 characters" in html


def test_the_twin_has_a_paragraph_for_each_text():
    html = plain(widgets_tag.tag_twin(Finder(), ["a pain\nhere", "none"]))
    assert html.count("<p dir='auto'") == 2 and "here" in html


def test_the_box_shows_the_picture_of_its_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda html: shown.append(html.data))
    box, _ = widgets_tag.tag_box(Finder(), "pain").children
    assert "1 entity." in shown[-1]
    box.value = "pain pain"
    assert "2 entities." in shown[-1]


def test_a_line_keeps_its_letters():
    line = Marked(Line(1, 0, "a <b> pain."), [Mark("Drug", 6, 10, 0.9)])
    html = widgets_tag.line_html(line, ["Drug"])
    assert "a &lt;b&gt; <span" in html and "<bdi>pain</bdi><small>Drug</small></span>." in html


# --- the packages of an extra ------------------------------------------------------------------


def test_an_extra_that_is_missing_is_named(monkeypatch):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.setattr(chapter, "missing_requirements", lambda *_: ["onnx>=1.17"])
    with pytest.raises(ModuleNotFoundError, match=r"onnx>=1.17 missing: pip install .*\[release\]"):
        chapter.extra("release")
    monkeypatch.setattr(chapter, "missing_requirements", lambda *_: [])
    assert chapter.extra("release") is None


def test_colab_installs_an_extra_first(monkeypatch):
    asked = []
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    monkeypatch.setattr(chapter, "install_missing", lambda path, name: asked.append(name))
    monkeypatch.setattr(chapter, "missing_requirements", lambda *_: [])
    chapter.extra("release")
    assert asked == ["release"]


def test_requirements_of_an_extra_are_read(tmp_path):
    (tmp_path / "p.toml").write_text(
        '[project]\ndependencies = ["numpy>=2"]\n'
        '[project.optional-dependencies]\nnew = ["no-such-package>=1", "numpy"]\n'
    )
    assert chapter.missing_requirements(tmp_path / "p.toml", "new") == ["no-such-package>=1"]
    assert chapter.missing_requirements(tmp_path / "p.toml") == []
    with pytest.raises(KeyError):
        chapter.missing_requirements(tmp_path / "p.toml", "old")


def test_a_material_names_its_terms_with_their_address():
    told = str(Material.named("biosses"))
    assert "(licence: [" in told and "](https://" in told.rsplit("licence:", 1)[1]
    own = str(Material.named("my-text.txt", own=True))
    assert own.endswith("(licence: not known to this card)")


def test_what_chapter_17_says_of_rates_is_what_the_ledger_holds():
    from bioptimus_lib import evidence

    torch, onnx, small = (
        next(row["metrics"] for row in evidence.rows_of("bench-onnx") if row["model"] == name)
        for name in ("PyTorch", "ONNX", "ONNX, 8 bits")
    )
    assert round(onnx["faster_one"]) == 2 and 3.5 < small["faster_one"] < 4
    assert abs(onnx["faster_many"] - 1) < 0.1 and 1.7 < small["faster_many"] < 2
    assert 0 < torch["f1"] - small["f1"] < 0.2 and onnx["differing"] == 0
    assert round(940 / small["differing"]) == 30  # sentences of the test part
    rates = {row["model"]: row["metrics"] for row in evidence.rows_of("bench-tag", "ratio")}
    bare, stock, batches = (
        rates[f"{side} / tag"] for side in ("model", "pipeline", "pipeline, batches of 32")
    )
    assert bare["least"] < 1 < bare["most"] and abs(bare["ratio"] - 1) < 0.1
    assert 3 < stock["least"] and stock["ratio"] < batches["ratio"]
    assert stock["differing"] == batches["differing"] == 0
