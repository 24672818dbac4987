def parse_host_line(line: str) -> dict:
    """Parse a line of a hosts file that must read address, name and port between semicolons."""
    fields = line.split(";")
    if len(fields) != 3:
        raise ValueError("expected three fields, found " + str(len(fields)))
    address, name, port = fields
    if not port.isdigit():
        raise ValueError("port is no number: " + port)
    return {"address": address, "name": name, "port": int(port)}
