# monthly report, runs on the old server only
import sys

def report(rows):
    total = 0
    for name, amount in rows:
        total = total + amount
        print "%-20s %8.2f" % (name, amount)
    print "total", total
    return total

if __name__ == "__main__":
    report([("paper", 12.5), ("ink", 40.0)])
