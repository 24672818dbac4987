# strong: exception OSError
# fallback: exception *
# minimum: exception *
import tempfile

def main_solution():
    with tempfile.TemporaryFile() as out:
        for _ in range(400):
            out.write(bytes(2**20))
    return "written"
