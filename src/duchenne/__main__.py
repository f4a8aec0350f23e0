"""``python -m duchenne`` is ``duchenne``."""

from .cli import main

if __name__ == "__main__":
    main()
