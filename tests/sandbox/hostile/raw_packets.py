# all: ok "denied"
import socket

def main_solution():
    for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW), (socket.AF_NETLINK, socket.SOCK_RAW)):
        try:
            socket.socket(family, kind)
            return "opened"
        except OSError:
            continue
    return "denied"
