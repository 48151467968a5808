"""What worker processes need that work with models, loaded once by the process from which they are
forked: four seconds for each that they would take themselves.

Nothing is computed here: PyTorch starts its threads with the first computation, and a fork has
none of them.
"""

from __future__ import annotations

import torch  # noqa: F401
import transformers.models.bert.modeling_bert  # noqa: F401

from bioptimus_lib import mini_albert, models  # noqa: F401
