"""`python -m recnn` and the command `recnn`: Ctrl-C ends them in a line, even while modules are loaded."""
import sys


def main():
    "Run the command line; its exit status."
    try:
        from recnn.app.cli import main as run
        return run()
    except KeyboardInterrupt:
        print('recnn: stopped; nothing was begun', file=sys.stderr)
        return 130


if __name__ == '__main__': sys.exit(main())
