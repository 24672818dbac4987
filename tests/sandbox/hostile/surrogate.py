# all: not_json LossyJson
# minimum: not_json LossyJson
def main_solution():
    return "\ud800abc"
