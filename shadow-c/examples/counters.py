"""Counters beside the streams of the C library: FILE has no room for them, and stays as it is.

    python3 shadow-c/examples/counters.py target/release/libshadow_fields.so

Without an argument, the program loads the installed library. A field is a struct with the number of lines and of bytes
that the program has written to a stream. The constructor and the destructor are Python functions.
"""

import ctypes
import ctypes.util
import os
import sys

COUNTER = 1  # the number of the field


class Counter(ctypes.Structure):
    _fields_ = [("lines", ctypes.c_ulong), ("bytes", ctypes.c_ulong)]


def load(path):
    """The library, with the types of the functions that this program calls."""
    # With `use_errno`, ctypes keeps the errno of each call.
    library = ctypes.CDLL(path, use_errno=True)
    pointer, number, size = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t
    library.shadow_field_get.argtypes = [pointer, number]
    library.shadow_field_get.restype = pointer
    library.shadow_field_get_or_alloc.argtypes = [pointer, number, size, Constructor, pointer]
    library.shadow_field_get_or_alloc.restype = pointer
    library.shadow_field_free.argtypes = [pointer, number, Destructor]
    library.shadow_field_free.restype = ctypes.c_bool
    library.shadow_field_free_all.argtypes = [number, Destructor]
    library.shadow_field_free_all.restype = size
    library.shadow_field_describe.argtypes = [number, *[ctypes.c_char_p] * 3, ctypes.c_uint]
    library.shadow_field_report.argtypes = []
    library.shadow_field_report.restype = pointer  # not a string of Python: the program frees the string
    library.shadow_field_string_free.argtypes = [pointer]
    return library


Constructor = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


@Constructor
def start(stream, data, refused):
    """Attaches no counter to the stream that `refused` names."""
    if stream == refused:
        return -1  # becomes errno 1, EPERM
    counter = Counter.from_address(data)
    print(f"a counter starts at {counter.lines} lines")
    return 0


@Destructor
def end(stream, data):
    counter = Counter.from_address(data)
    print(f"a counter ends at {counter.lines} lines, {counter.bytes} bytes")


class Streams:
    """Streams of the C library, whose lines are counted."""

    def __init__(self, fields, libc):
        self.fields = fields
        self.libc = libc
        libc.tmpfile.restype = ctypes.c_void_p
        libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        libc.fclose.argtypes = [ctypes.c_void_p]
        self.refused = ctypes.c_void_p.in_dll(libc, "stderr").value

    def open(self):
        return self.libc.tmpfile()

    def write(self, stream, line):
        counter = self.fields.shadow_field_get_or_alloc(
            stream, COUNTER, ctypes.sizeof(Counter), start, self.refused
        )
        if not counter:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self.libc.fputs(line, stream)
        counter = Counter.from_address(counter)
        counter.lines += 1
        counter.bytes += len(line)

    def close(self, stream):
        """The field ends before its object."""
        had_counter = self.fields.shadow_field_free(stream, COUNTER, end)
        self.libc.fclose(stream)
        return had_counter

    def report(self):
        report = self.fields.shadow_field_report()
        text = ctypes.string_at(report).decode()
        self.fields.shadow_field_string_free(report)
        return text


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else ctypes.util.find_library("shadow_fields")
    streams = Streams(load(path), ctypes.CDLL(None))
    streams.fields.shadow_field_describe(COUNTER, b"counter", b"Counter", b"counters.py", 1)

    first, second, third = streams.open(), streams.open(), streams.open()
    for line in [b"one\n", b"two\n", b"three\n"]:
        streams.write(first, line)
    streams.write(second, b"four\n")
    print("closed, with a counter:", streams.close(first))
    print("closed, with a counter:", streams.close(third))
    try:
        streams.write(streams.refused, b"no line\n")
    except PermissionError:
        print("standard error has no counter")
    print("the report names the field:", "counter (1)" in streams.report() and "counters.py:1" in streams.report())
    print("the rest:", streams.fields.shadow_field_free_all(COUNTER, end))
    print("found afterwards:", streams.fields.shadow_field_get(second, COUNTER))
    streams.close(second)


if __name__ == "__main__":
    main()
