"""The subcommands of ``bioptimus``, one module each: ``add`` describes it, ``run`` does it."""
