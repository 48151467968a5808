"""BIOptimus, step by step: a biomedical language model from a general one.

Each module is a room of one idea; import the room that you need, for example
``from bioptimus_lib.scan import find_contexts``. Importing the package itself is free: it loads
neither torch nor transformers.
"""

__version__ = "0.1.0"
