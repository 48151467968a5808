"""BIOptimus, step by step: a biomedical language model from a general one.

Importing the package is free: it loads neither torch nor transformers. Import the room that you
need, ``from bioptimus_lib.scan import find_contexts``. The front door of each room comes first,
the modules behind it follow; a room imports from rooms above it, never from one below.

| room | front door | behind it |
|---|---|---|
| ground | ``errors`` ``files`` ``profile`` | ``machine`` ``workers`` ``provenance`` |
| arrays and compiled loops | | ``compiling`` ``arrays`` |
| data by name | ``sources`` ``ner_sets`` | ``source_table`` ``download`` ``integrity`` |
| characters and sentences | ``cleaning`` ``splitting`` | ``words`` ``clinical_text`` |
| text | ``pubmed`` ``noteevents`` | ``records`` ``pubmed_xml`` ``parts`` ``selection`` |
| a corpus in parts | | ``byte_ranges`` |
| matching | ``contexts`` | ``matching`` ``match_loop`` ``sketch`` ``excerpts`` ``excerpt_loop`` |
| scanning | ``scan`` | ``scan_plan`` ``search`` ``counting`` ``loaded`` |
| word statistics | ``wordstats`` | ``memory`` |
| made-up text | ``pocket`` ``pocket_notes`` | ``pocket_grammar`` ``pocket_pubmed`` |
| made-up sets | ``pocket_ner`` ``pocket_tasks`` | |
| vocabulary | ``vocab`` ``comparison`` | ``wordpiece`` ``cutting`` ``word_classes`` ``adding`` |
| models | ``models`` | ``mini_albert`` ``loaded_models`` ``onnx_model`` |
| reading in context | ``occurrences`` | ``crops`` ``early_exit`` ``onednn`` ``wanted`` |
| distillation | ``distill`` ``token_distillation`` | ``strategies`` ``calibration`` ``origin`` |
| masking | ``masking`` ``curriculum`` | |
| blocks and their loss | ``packing`` ``masked_loss`` | ``masked_trainer`` |
| pre-training | ``pretrain`` ``pocket_bert`` | ``recorder`` ``warm_start`` |
| a curriculum | ``phases`` | ``one_phase`` ``own_text`` |
| guesses | ``guesses`` | ``guessing`` ``gap_filling`` |
| fine-tuning | ``fitting`` | ``batching`` |
| entities | ``ner`` | ``conll`` ``windows`` ``tagger`` ``entity_score`` |
| what is behind F1 | ``ner_errors`` ``ner_scoring`` ``ner_facts`` | |
| entities in running text | ``tagging`` | ``markup`` |
| evidence | ``stats`` ``ledger`` | ``measures`` ``significance`` ``nested`` ``bench`` |
| fine-tunings on disk | ``ner_runs`` | ``kept`` |
| stable fine-tuning | ``finetune`` ``stability`` | ``bias_correction`` |
| what a student is asked | ``recipes`` ``objectives`` | ``distil_terms`` ``distil_loss`` |
| compact models | ``compress`` ``students`` | ``distil_trainer`` ``quantise`` ``footprint`` |
| data of other tasks | ``i2b2`` | ``relations`` ``task_data`` ``task_readers`` |
| tasks beyond entities | ``tasks`` ``task_runs`` | ``task_table`` ``task_metrics`` ``sequences`` |
| what is behind a task | ``task_facts`` | ``read_apart`` |
| clinical models | ``clinical_models`` ``memorisation`` | ``long_notes`` ``clinical_steps`` |
| the pipeline | ``pipeline`` | ``stages`` ``fine_tunings`` |
| releases | ``release`` ``hub`` | ``release_facts`` ``model_card`` ``onnx_release`` ``run_rows`` |
| a hub to try | ``fake_hub`` | |
| options of commands | | ``options`` |
| benchmarks of taggers | ``bench_tag`` ``bench_onnx`` | |
| experiments | ``experiments`` | |
| growth of time | ``scaling`` | |
| lessons | ``scan_steps`` ``distill_steps`` ``masking_steps`` | ``samplers`` ``qik`` |
| what a phase does | ``looks`` ``trials`` | ``word_guesses`` |
| the last two phases | ``rate_steps`` ``visible_steps`` | |
| what a score is worth | ``evaluation_steps`` ``task_steps`` | |
| a class of students | ``compact_steps`` | |
| many workers | ``scale_steps`` | |
| figures | ``plots`` ``pictures`` | ``evidence`` |
| figures of 01 to 03 | ``plots_corpus`` ``plots_scan`` ``plots_vocab`` | |
| figures of 04 and 05 | ``plots_distill`` ``plots_masking`` | |
| figures of phases | ``plots_phases`` ``plots_rates`` | |
| figures of NER data | ``plots_ner`` | |
| figures of fine-tunings | ``plots_stability`` | |
| figures of notes | ``plots_clinical`` | |
| figures of the ledger | ``plots_ledger`` | |
| NER results | ``ner_tables`` | ``plots_ner_results`` |
| compact results | ``compact_tables`` | ``plots_compact`` |
| answers of the ledger | ``verdicts`` ``results_page`` | |
| tasks beyond NER | ``task_tables`` | ``plots_tasks`` |
| figures of many workers | ``plots_scale`` | |
| releases on a page | ``release_tables`` | ``plots_release`` |
| controls above a picture | ``controls`` | |
| widgets | ``widgets`` | ``widgets_vocab`` ``widgets_distill`` ``widgets_ner`` ``widgets_tag`` |
| the course | ``chapter`` ``checks`` | ``exercises`` |
| benchmarks | | ``bench_scan`` ``bench_text`` ``bench_sentences`` |
| benchmarks of models | | ``bench_distill`` ``bench_masking`` ``bench_compact`` |
| benchmarks of training | ``bench_pretrain`` | ``bench_learning`` ``bench_ner`` |
| benchmarks of growth, the bill | ``cost`` | ``bench_scale`` |
| the command | ``cli`` | ``advice`` ``commands`` ``report`` ``source_report`` |
"""

__version__ = "0.1.0"
