"""One rank of a group: `python -m mnist_models.parallel JOB`."""

import os
import sys

from mnist_models.parallel import main

if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # A framework's threads sometimes abort the process while Python ends, after its work is done.
    os._exit(0)
