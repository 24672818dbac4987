# all: ok "denied"
import os
import sysconfig

def main_solution():
    try:
        with open(os.path.join(sysconfig.get_paths()["purelib"], "evil.pth"), "w") as out:
            out.write("import os")
    except OSError:
        return "denied"
    return "written"
