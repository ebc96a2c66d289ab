"""One rank of a group: `python -m mnist_models.parallel JOB`."""

from mnist_models.parallel import main

if __name__ == "__main__":
    main()
