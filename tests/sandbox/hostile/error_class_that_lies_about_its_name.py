# all: exception ?
# minimum: exception ?
class Liar(type):
    @property
    def __name__(cls):
        return "a\0b"


class Lie(Exception, metaclass=Liar):
    pass


def main_solution():
    raise Lie("odd")
