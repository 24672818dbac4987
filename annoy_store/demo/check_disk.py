import sys


def check_quota(used, quota):
    """Check whether an account stays within its quota; the status is for the shell."""
    share = used * 100 // max(quota, 1)
    if share > 90:
        print("quota nearly full:", share, "%")
        sys.exit(2)
    status = 0 if share < 50 else 1
    sys.exit(status)
    return status
