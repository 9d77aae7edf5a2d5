"""Real traffic for the lab: `serve` answers on the near end, `send` talks to it from the far end until it is killed.

send pings (v4 and v6), fetches over TCP, asks over UDP and scans with nmap; each also from addresses or to ports that
examples/lab.rules denies. A denied request is given up on after ANSWER_SECONDS.
"""

import asyncio
import contextlib
import socket
import sys

import net

TCP_PORT = 8080
UDP_PORT = 9999
DENIED_TCP_PORTS = (23, 6000)
ANSWER_SECONDS = 0.5
PAUSE_SECONDS = 0.2
SCAN_PAUSE_SECONDS = 5
SCANNED_PORTS = "20-100,2323,6000-6010,8080"
REPLY = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


async def serve() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(REPLY)
            await writer.drain()
        writer.close()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.transport.sendto(data, address)

    loop = asyncio.get_running_loop()
    for address in (net.NEAR_V4, net.NEAR_V6):
        await asyncio.start_server(answer, address, TCP_PORT)
        await loop.create_datagram_endpoint(Echo, local_addr=(address, UDP_PORT))
    print("serving", flush=True)
    await asyncio.Event().wait()


async def fetch(target: str, port: int, source: str) -> None:
    reader, writer = await asyncio.open_connection(target, port, local_addr=(source, 0))
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.read()
    finally:
        writer.close()


async def ask(target: str, port: int, source: str) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.bind((source, 0))
        await loop.sock_connect(udp, (target, port))
        await loop.sock_sendall(udp, b"question")
        await loop.sock_recv(udp, 100)


async def repeat(request, *where) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(request(*where), ANSWER_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)


async def run_again(pause: float, *command: str) -> None:
    while True:
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        await child.wait()
        await asyncio.sleep(pause)


async def send() -> None:
    async with asyncio.TaskGroup() as group:
        for source, target in (
            (net.FAR_V4, net.NEAR_V4),
            (net.FAR_V6, net.NEAR_V6),
            (net.DENIED_V4[0], net.NEAR_V4),
            (net.DENIED_V6, net.NEAR_V6),
        ):
            group.create_task(run_again(1, "ping", "-q", "-i", "0.25", "-c", "1000", "-I", source, target))
            group.create_task(repeat(fetch, target, TCP_PORT, source))
            group.create_task(repeat(ask, target, UDP_PORT, source))
        group.create_task(repeat(ask, net.NEAR_V4, UDP_PORT, net.DENIED_V4[1]))
        for port in DENIED_TCP_PORTS:
            group.create_task(repeat(fetch, net.NEAR_V4, port, net.FAR_V4))
        scan = ("nmap", "-n", "-Pn", "-sS", "-T4", "--max-retries", "0", "-p", SCANNED_PORTS, net.NEAR_V4)
        group.create_task(run_again(SCAN_PAUSE_SECONDS, *scan))


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else send())
