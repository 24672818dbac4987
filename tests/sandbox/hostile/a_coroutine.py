# all: not_json coroutine
# minimum: not_json coroutine
async def main_solution():
    return 1
