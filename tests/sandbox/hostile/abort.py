# all: crash SIGABRT
# minimum: crash SIGABRT
import os

def main_solution():
    os.abort()
