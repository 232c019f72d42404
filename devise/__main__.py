"""`python -m devise ...`: the same as `devise ...`."""

from devise.cli import main

if __name__ == "__main__":
    main()
