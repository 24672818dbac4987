# all: exception * or crash * or memory or ok * or cpu_timeout
# minimum: exception * or crash * or memory or ok * or cpu_timeout
def main_solution():
    return @DEEP@
