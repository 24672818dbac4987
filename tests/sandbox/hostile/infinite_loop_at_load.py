# all: cpu_timeout
# minimum: cpu_timeout
while True:
    pass
