# all: exception NameError
# minimum: exception NameError
def another():
    return 1
