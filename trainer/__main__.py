"""`python -m trainer`, the form that accelerate launch and torchrun start."""

import sys

from trainer.cli import main

sys.exit(main())
