# SPDX-License-Identifier: MIT
"""A simulated operating system: tasks of several classes, packets on queues, a round-robin scheduler."""

REPEAT = 3


class Packet:
    def __init__(self, kind, owner, size):
        self.kind, self.owner, self.data, self.next = kind, owner, [0] * size, None


class State:
    def __init__(self):
        self.held = self.waiting = self.ready = False


class Task(State):
    def __init__(self, system, number, priority):
        super().__init__()
        self.system, self.number, self.priority = system, number, priority
        self.queue = None
        self.ready = True

    def append(self, packet):
        packet.next = None
        if self.queue is None:
            self.queue = packet
            self.ready = True
            return
        last = self.queue
        while last.next is not None:
            last = last.next
        last.next = packet

    def take(self):
        packet = self.queue
        if packet is not None:
            self.queue = packet.next
        return packet

    def step(self):
        raise NotImplementedError


class Idle(Task):
    def __init__(self, *args):
        super().__init__(*args)
        self.control = 1

    def step(self):
        self.control = self.control >> 1 ^ (0xD008 if self.control & 1 else 0)
        self.system.send(Packet("work", self.number, 4), self.system.workers[self.control % 3])


class Worker(Task):
    count = 0

    def step(self):
        packet = self.take()
        if packet is None:
            self.ready = False
            return
        for i in range(len(packet.data)):
            self.count = (self.count + 1) % 26
            packet.data[i] = ord("A") + self.count
        packet.kind = "device"
        packet.owner = self.number
        self.system.send(packet, self.system.devices[self.count % 2])


class Device(Task):
    def step(self):
        packet = self.take()
        if packet is None:
            self.ready = False
            return
        self.system.log.append((self.number, "".join(map(chr, packet.data))))


class System:
    def __init__(self):
        self.log = []
        self.idle = Idle(self, 0, 0)
        self.workers = [Worker(self, 1 + i, 10) for i in range(3)]
        self.devices = [Device(self, 4 + i, 20) for i in range(2)]
        self.tasks = [self.idle] + self.workers + self.devices

    def send(self, packet, task):
        task.append(packet)

    def run(self, steps):
        for _ in range(steps):
            for task in self.tasks:
                if task.ready and not task.held:
                    task.step()


def run():
    for _ in range(3):
        system = System()
        system.run(12000)
        assert len(system.log) > 10000
