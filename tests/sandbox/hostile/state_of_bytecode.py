# all: ok false
# calls: 2
import importlib.util
import os
import sys

def main_solution():
    """Leave a module in the home folder, where user site-packages would lie."""
    home = os.path.expanduser("~/.local/lib/python%d.%d/site-packages" % sys.version_info[:2])
    seen = os.path.exists(home) or importlib.util.find_spec("usercustomize") is not None
    try:
        os.makedirs(home)
        open(home + "/usercustomize.py", "w").close()
    except OSError:
        pass
    return seen
