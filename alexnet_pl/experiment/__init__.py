"""From a composed config to trainer, module and data; a finished run opened again."""
