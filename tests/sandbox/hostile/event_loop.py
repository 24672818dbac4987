# all: ok [1, 2]
# minimum: ok [1, 2]
import asyncio

async def later(value):
    await asyncio.sleep(0.001 * value)
    return value

async def both():
    return await asyncio.gather(later(1), later(2))

def main_solution():
    return asyncio.run(both())
