"""`python -m alexnet_pl` under torchrun; the second process kills itself once, in the second epoch of the fit."""

import os
import signal

from processes import signal_in

from alexnet_pl.cli.main import main

if __name__ == "__main__":
    if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) == ("1", "0"):
        signal_in("alexnet_pl.training.classifier:Classifier.training_step", signal.SIGKILL, call=5)
    main()
