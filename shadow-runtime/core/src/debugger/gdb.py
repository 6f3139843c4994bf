"""Shadow fields in gdb: with names and typed values, of a live process or of a core dump.

In: the memory of the debugged program, and the types of its debug information. Out: a printer of `ShadowFields`, and
two commands. Neighbours: `lib.rs`, which embeds this file in programs; `fields/`, `cell/`, `seqlock/`, `side_table/`,
`host/`, `init_lock/` and `registry/`, whose memory this file reads. The test `debugger` compares the output with the
expected output, so a change of such memory fails the test.

    print host                   a struct that embeds its fields, with the fields
    info shadow-fields           the fields in use in the process
    info shadow-fields EXPR      the fields of a host: an `Arc`, a static, a `Shadowed`, or a struct that embeds fields
    info shadow-hosts [COUNT]    the `Arc` hosts, at most COUNT (20) of them

The script calls no function of the program. A node in memory begins with a type tag, the address of a generic function:
`vtable<S, O>` of `fields/node.rs`. The debug information has the name of the function, and so the names of the field
set `S` and of the owner `O`. `S` is a struct with a cell for each field. The macros give the sets of a module different
names (`expand/field_set.rs` of `shadow-macros`).

All definitions are local to one function, since gdb runs the scripts of all crates in one namespace.
"""


def register_shadow_fields():
    import collections
    import itertools

    import gdb
    import gdb.printing

    core = "shadow_runtime_core::"

    # A field of a host. `value` is a value of gdb, or a text in angle brackets. `place` is the place of an attach.
    Field = collections.namedtuple("Field", "name policy value place")

    # Of names, types and paths. A longer text is none: the memory has other content.
    LONGEST_TEXT = 10_000

    # Of an array of a table, and of a search in an array. A larger array is none, and a longer search is in other memory.
    MOST_GROUPS = 1 << 26
    LONGEST_SEARCH = 10_000

    NOT_ATTACHED = "<not attached>"
    BUSY = "<being attached>"
    LOCKED = "<being initialised>"
    POLICIES = {
        "Attach": "attach",
        "GetOrAttach": "get_or_attach",
        "GetOrUpdate": "get_or_update",
        "GetOrUpdateCopy": "get_or_update(copy)",
    }

    class Unreadable(Exception):
        """What the script cannot find, as a message for the user."""

    # Memory

    class Target:
        """The size and the byte order of a word of the debugged program."""

        word_size = 8
        order = "little"

        @classmethod
        def ask(cls):
            try:
                cls.word_size = gdb.lookup_type("char").pointer().sizeof
            except gdb.error:
                # Without debug information of types, nothing is read.
                cls.word_size = 8
            cls.order = "big" if "big endian" in gdb.execute("show endian", to_string=True) else "little"

    def read(address, size):
        return gdb.selected_inferior().read_memory(address, size).tobytes()

    def numbers(address, count, size):
        memory = read(address, size * count)
        return [int.from_bytes(memory[at : at + size], Target.order) for at in range(0, len(memory), size)]

    def words(address, count):
        return numbers(address, count, Target.word_size)

    def word(address):
        return words(address, 1)[0]

    def address_of(value):
        return None if value.address is None else int(value.address)

    def typed(address, type_):
        return gdb.Value(address).cast(type_.pointer()).dereference()

    def links(first, next_of):
        """The addresses of a linked list. Raises an error if the list does not end: the memory has other content."""
        seen, address = set(), first
        while address:
            if address in seen:
                raise Unreadable("a list that leads to itself at %#x" % address)
            seen.add(address)
            yield address
            address = next_of(address)

    def rounded_up(number, align):
        return (number + align - 1) // align * align

    # Types and symbols

    def name_of(type_):
        return type_.name or str(type_)

    def lookup_type(name, block=None):
        """The type of a name: that of the compilation unit of a block, or else of any other."""
        try:
            return gdb.lookup_type(name, block) if block is not None else gdb.lookup_type(name)
        except gdb.error:
            raise Unreadable("no type `%s`; the program needs its types: set `debug = true` in its profile" % name)

    def arguments(name):
        """The generic arguments in a name: of `path::name<A, B<C>>`, `A` and `B<C>`."""
        start = name.find("<")
        if start < 0:
            return []
        depth, last, found = 0, start + 1, []
        for index in range(start, len(name)):
            each = name[index]
            if each in "<([{":
                depth += 1
            elif each in ")]}" or each == ">" and name[index - 1] != "-":
                depth -= 1
                if depth == 0:
                    found.append(name[last:index].strip())
                    break
            elif each == "," and depth == 1:
                found.append(name[last:index].strip())
                last = index + 1
        return found

    def statics(name):
        """The static of this name in each linked image: each image has a copy of the runtime."""
        found = {}
        for objfile in gdb.objfiles():
            symbol = objfile.lookup_global_symbol(core + name) or objfile.lookup_static_symbol(core + name)
            if symbol is not None:
                value = symbol.value()
                address = int(value.address)
                # A static that the linker has left out has debug information, and a wrong address.
                if name.rsplit("::", 1)[-1] in gdb.execute("info symbol %#x" % address, to_string=True):
                    found[address] = value
        return list(found.values())

    def need_tables():
        """Raises an error if the debug information lacks the statics of the library, so that `statics` finds none."""
        name = core + "registry::STATE"
        if not any(file.lookup_global_symbol(name) or file.lookup_static_symbol(name) for file in gdb.objfiles()):
            raise Unreadable("no debug information of the library: set `debug = true` in the profile, for all crates")

    def inmost(value):
        """The pointer in a wrapper, such as a `NonNull` or an atomic: the first member that is not empty, and so on."""
        type_ = value.type.strip_typedefs()
        while type_.code == gdb.TYPE_CODE_STRUCT:
            members = [member for member in type_.fields() if member.type.sizeof]
            if not members:
                raise Unreadable("no pointer in `%s`" % name_of(value.type))
            value = value[members[0].name]
            type_ = value.type.strip_typedefs()
        return value

    def string(value):
        """A `&str`, or a `NonNull<str>`: an address and a length."""
        address, length = words(int(value.address), 2)
        if length > LONGEST_TEXT:
            raise Unreadable("a text of %d bytes" % length)
        return read(address, length).decode(errors="replace")

    def location(address):
        """A `Location` of the standard library: a text, a line and a column."""
        declared = lookup_type(core + "registry::field::Field")
        pointers = [member.type for member in declared.fields() if member.name == "declared_at"]
        place = typed(address, pointers[0].target())
        texts = [member.name for member in place.type.fields() if member.type.sizeof == 2 * Target.word_size]
        return "%s:%d:%d" % (string(place[texts[0]]), int(place["line"]), int(place["col"]))

    # Nodes: `fields/`

    def tag_of(header):
        """The function whose address is the type tag of a node or chunk: its name without `core`, and its block."""
        tag = word(header)
        block = gdb.block_for_pc(tag)
        outer = None
        while block is not None:
            outer = block if block.function is not None else outer
            block = block.superblock
        if outer is None:
            raise Unreadable("no function at %#x, the tag of a node: set `debug = true` in the profile" % tag)
        name = outer.function.name
        if outer.start != tag or not name.startswith(core + "fields::"):
            raise Unreadable("%#x is no tag of a node" % tag)
        return name[len(core) :], outer

    def nodes(payload):
        """The headers of the nodes of a host, by the payload to which its root points."""
        if not payload:
            return
        header = payload - Target.word_size
        try:
            name, block = tag_of(header)
        except Exception:
            name, block = "", None
        if not name.startswith("fields::node_table::"):
            # The caller reads the tag again, and reports an error.
            yield header
            return
        table_type = lookup_type(core + "fields::node_table::NodeTable", block)
        capacity = 1 << (32 - int(typed(header, table_type)["shift"]))
        slots = header + table_type.sizeof
        order = numbers(slots + capacity * Target.word_size, capacity, 2)
        order = [number - 1 for number in order if number]
        # A slot that another thread has filled may not be in the order yet.
        for slot in order + [slot for slot in range(capacity) if slot not in order]:
            node = word(slots + slot * Target.word_size)
            # 0 is a vacant slot, and 1 a closed slot.
            if node > 1:
                yield node - Target.word_size

    def fields_of_node(header):
        name, block = tag_of(header)
        set_type = lookup_type(arguments(name)[0], block)
        # By `repr(C)` the set follows the header.
        fields = typed(header + rounded_up(Target.word_size, max(set_type.alignof, 1)), set_type)
        for member in set_type.fields():
            yield field_or_error(member.name, lambda: [field(member.name, fields[member.name])])[0]

    def field_or_error(name, read):
        try:
            return list(read())
        except Exception as error:
            return [Field(name, "", "<unreadable: %s>" % error, None)]

    def fields_of(payload, identity=None):
        """The fields of a host, with the fields for which an initialiser runs if the host has an identity."""
        locked = initialising(identity) if identity is not None else {}
        for header in nodes(payload):
            for each in field_or_error("?", lambda: fields_of_node(header)):
                if each.value is NOT_ATTACHED and each.name in locked:
                    del locked[each.name]
                    each = each._replace(value=LOCKED)
                yield each
        for name, policy in locked.items():
            yield Field(name, policy, LOCKED, None)

    # Cells: `cell/` and `seqlock/`

    def field(name, cell):
        type_ = cell.type.strip_typedefs()
        path, value_type = name_of(type_), type_.template_argument(0)
        if "::write_once::WriteOnce<" in path:
            is_attach = arguments(path)[1].endswith("::PlaceWord")
            return (attach if is_attach else get_or_attach)(name, cell, value_type)
        if "::get_or_update::GetOrUpdate<" in path:
            return get_or_update(name, cell, value_type)
        if "::get_or_update_copy::GetOrUpdateCopy<" in path:
            return Field(name, POLICIES["GetOrUpdateCopy"], seqlock(cell["value"], value_type), None)
        raise Unreadable("`%s` is no cell" % path)

    def attach(name, cell, value_type):
        state = word(int(cell["state"].address))
        if state <= 1:
            return Field(name, POLICIES["Attach"], BUSY if state else NOT_ATTACHED, None)
        return Field(name, POLICIES["Attach"], typed(int(cell["value"].address), value_type), location(state))

    def get_or_attach(name, cell, value_type):
        state = read(int(cell["state"].address), 1)[0]
        value = typed(int(cell["value"].address), value_type) if state == 2 else BUSY if state else NOT_ATTACHED
        return Field(name, POLICIES["GetOrAttach"], value, None)

    def get_or_update(name, cell, value_type):
        # The low bits are the bias. A node begins with its value.
        node = word(int(cell["newest"].address)) & ~7
        return Field(name, POLICIES["GetOrUpdate"], typed(node, value_type) if node else NOT_ATTACHED, None)

    def seqlock(lock, value_type):
        if lock.type.fields()[0].name == "value":
            # `fallback.rs`: a number and an `Option`, behind a mutex.
            return lock["value"]["data"]["value"]["__1"]
        sequence = int.from_bytes(read(int(lock["sequence"].address), 8), Target.order)
        if sequence == 0:
            return NOT_ATTACHED
        place = int(lock["primary"].address)
        is_borrowed = sequence == 1
        if is_borrowed or sequence % 2 and value_type.sizeof > Target.word_size:
            side = inmost(lock["side"]).dereference()
            place = int(side["borrowed" if is_borrowed else "backup"].address)
        return typed(place, value_type)

    # Running initialisers: `init_lock/`

    def requests():
        """The requests that hold an init lock: those of the slots, and those of the wait-for graph."""
        for locks in statics("init_lock::INIT_LOCKS"):
            request_type = lookup_type(core + "init_lock::Request")
            links_type = lookup_type(core + "init_lock::graph::Links")
            slots = locks["slots"]
            first, last = slots.type.range()
            # The low bits: the request is registered; or the slot has no request.
            held = {word(int(slots[index].address)) & ~3 for index in range(first, last + 1)}
            request = word(int(locks["graph"]["data"]["value"]["registered"]["first"].address))
            while request and request not in held:
                held.add(request)
                links = typed(request, request_type)["links"]
                request = int(typed(int(links.address), links_type)["next"])
            for request in held - {0}:
                yield typed(request, request_type)

    def initialising(identity):
        """The fields of a host for which an initialiser runs: name and policy."""
        found = {}
        for request in requests():
            key = request["key"]
            is_field = "Field" in [member.name for member in key.type.fields()]
            if is_field and int(key["Field"]["host"]["address"]) == identity:
                declared = key["Field"]["declared"].dereference()
                found[string(declared["name"])] = policy_of(declared)
        return found

    # Tables: `side_table/`

    def shards(table):
        """The arrays of a table: the address between groups and tags, and the number of groups."""
        arrays = table["arrays"]
        first, last = arrays.type.range()
        packed = words(int(arrays.address), last - first + 1)
        found = [(each & ~63, 1 << (64 - (each & 63))) for each in packed]
        if any(groups > MOST_GROUPS for _, groups in found):
            raise Unreadable("a table of more than %d groups" % MOST_GROUPS)
        return found

    def entries(base, groups, of=None):
        """The keys and values of some groups of an array, or of all."""
        for group in range(groups) if of is None else of:
            tags = read(base + 4 * group, 4)
            tags = tags if Target.order == "little" else tags[::-1]
            if any(tags):
                slots = words(base - 8 * Target.word_size * (group + 1), 8)
                for index, tag in enumerate(tags):
                    # The lowest bit of the first tag is the overflow bit.
                    if tag & (0xFE if index == 0 else 0xFF):
                        yield slots[2 * index], slots[2 * index + 1]

    def find(table, key):
        product = key * 0x9E37_79B9_7F4A_7C15
        hashed = (product ^ (product >> 64)) & ((1 << 64) - 1)
        arrays = shards(table)
        base, groups = arrays[hashed % len(arrays)]
        home = hashed * groups >> 64
        for step in range(min(groups, LONGEST_SEARCH)):
            group = (home + step) % groups
            for found, value in entries(base, groups, [group]):
                if found == key:
                    return value
            tags = read(base + 4 * group, 4)
            if not tags[0 if Target.order == "little" else 3] & 1:
                return 0
        if groups > LONGEST_SEARCH:
            raise Unreadable("a search that does not end at %#x" % base)
        return 0

    # Hosts: `host/`

    def is_arc(type_):
        return name_of(type_).startswith("alloc::sync::Arc<")

    def object_of_arc(arc):
        """The address of the object of an `Arc`, and its type, or `None` for an unsized type."""
        pointer = arc["ptr"]
        while pointer.type.code == gdb.TYPE_CODE_STRUCT and len(pointer.type.fields()) == 1:
            pointer = pointer[pointer.type.fields()[0].name]
        if pointer.type.code == gdb.TYPE_CODE_PTR:
            data = pointer.dereference()["data"]
            return int(data.address), data.type
        # An address, and a length or a vtable, which begins with a destructor, the size and the alignment.
        inner, extra = words(int(pointer.address), 2)
        if "vtable" in [member.name for member in pointer.type.fields()]:
            return inner + rounded_up(2 * Target.word_size, words(extra, 3)[2]), None
        return int(inmost(pointer).dereference()["data"].address), None

    def hosts_of(value):
        """The hosts that a value is or leads to: what each is, its identity, and its payloads."""
        type_ = value.type.strip_typedefs()
        while type_.code in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_REF):
            if not int(value):
                raise Unreadable("a null pointer")
            value = value.dereference() if type_.code == gdb.TYPE_CODE_PTR else value.referenced_value()
            type_ = value.type.strip_typedefs()
        if is_arc(type_):
            need_tables()
            address, target = object_of_arc(value)
            key = address - 2 * Target.word_size
            payloads = [find(table, key) for table in statics("host::arc::TABLE")]
            yield "Arc<%s> at %#x" % (arguments(name_of(type_))[0], address), address, payloads
            if target is not None:
                yield from embedding(typed(address, target))
            return
        yield from embedding(value)
        address = address_of(value)
        if address is not None:
            for table in statics("host::static_ref::TABLE"):
                registered_type = lookup_type(core + "host::static_ref::Registered")
                entries_of = links(
                    find(table, address), lambda at: word(int(typed(at, registered_type)["next"].address))
                )
                for entry in entries_of:
                    fields = typed(entry, registered_type)["fields"]
                    yield "static at %#x" % address, address, [word(int(fields.address))]

    def is_fields(type_):
        return type_.name == core + "fields::ShadowFields"

    def embedding(value):
        type_ = value.type.strip_typedefs()
        if is_fields(type_):
            members = [value]
        elif type_.code == gdb.TYPE_CODE_STRUCT:
            members = [value[member.name] for member in type_.fields() if is_fields(member.type)]
        else:
            members = []
        for member in members:
            place = "in registers" if value.address is None else "at %#x" % int(value.address)
            yield "%s %s" % (name_of(type_), place), address_of(member), [int(inmost(member))]

    def owner_of(key, payload):
        """The address and the type of a host of the table, and its count in words, by the owner in its first node."""
        header = next(nodes(payload), 0)
        owner = arguments(tag_of(header)[0])[1] if header else ""
        if "::counted::CountedOwner<" in owner:
            return key, arguments(owner)[0], ""
        address = key + 2 * Target.word_size
        if "::ThinWeak<" not in owner and not owner.startswith("alloc::sync::Weak<"):
            return address, "Arc", "strong ?"
        target = arguments(owner)[0]
        inner = key
        if "::ThinWeak<" in owner:
            # The counts begin before the padding for the alignment of the object.
            inner += 2 * Target.word_size - rounded_up(2 * Target.word_size, aligned(target))
        else:
            node = lookup_type(core + "fields::node::Node<%s, %s>" % (arguments(tag_of(header)[0])[0], owner))
            inner = words(int(typed(header, node)["owner"].address), 1)[0]
        strong = word(inner)
        return address, "Arc<%s>" % target, "strong %d" % strong if strong else "dead"

    def aligned(name):
        try:
            return max(gdb.lookup_type(name).alignof, 1)
        except (gdb.error, ValueError):
            return 1

    # The registry: `registry/`

    def policy_of(declared):
        name = str(declared["policy"]).rsplit("::", 1)[-1]
        return POLICIES.get(name, name)

    def declared_fields():
        for state in statics("registry::STATE"):
            declared_type = lookup_type(core + "registry::field::Field")
            # The first of the two ends; null for none.
            first = word(int(state["data"]["value"]["ends"].address))
            for address in links(first, lambda at: word(int(typed(at, declared_type)["next"].address))):
                yield typed(address, declared_type)

    def declaration(declared):
        host, name, value_type = [string(declared[text]) for text in ("host", "name", "value_type")]
        return host, name, policy_of(declared), value_type, location(int(declared["declared_at"]))

    # Output

    def shown(value):
        if isinstance(value, str):
            return value
        try:
            return value.format_string(pretty_structs=False, pretty_arrays=False, max_depth=4)
        except gdb.error as error:
            return "<unreadable: %s>" % error

    def table(rows):
        widths = [max(map(len, column)) for column in zip(*rows)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())

    class Rust:
        """Prints values as those of Rust, whatever the language of the selected frame."""

        def __enter__(self):
            Target.ask()
            self.language = gdb.parameter("language")
            gdb.execute("set language rust", to_string=True)

        def __exit__(self, *_):
            gdb.execute("set language %s" % self.language, to_string=True)

    class Command(gdb.Command):
        def invoke(self, argument, from_tty):
            try:
                # The expression is one of the selected frame, and its language.
                value = self.argument(argument.strip())
                with Rust():
                    self.show(value)
            except gdb.GdbError:
                raise
            except Exception as error:
                raise gdb.GdbError("shadow fields: %s" % error)

    class InfoFields(Command):
        """The shadow fields of a host, or without an argument the shadow fields in use in the process.

        Usage: info shadow-fields [EXPRESSION]
        EXPRESSION is a host or a pointer to a host: an Arc, a static, a Shadowed, or a struct that embeds its fields.
        """

        def __init__(self):
            super().__init__("info shadow-fields", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

        def argument(self, argument):
            return gdb.parse_and_eval(argument) if argument else None

        def show(self, host):
            if host is None:
                need_tables()
                rows = [declaration(declared) for declared in declared_fields()]
                if rows:
                    table([("host", "field", "policy", "value", "declared at")] + rows)
                else:
                    print("No shadow field is in use.")
                return
            found = list(hosts_of(host))
            if not found:
                need_tables()
                print("`%s` has no shadow fields." % name_of(host.type))
            for what, identity, payloads in found:
                print("%s:" % what)
                fields = [field for payload in payloads for field in fields_of(payload, identity)]
                ends = [", attached at %s" % field.place if field.place else "" for field in fields]
                rows = [("  " + field.name, field.policy, shown(field.value) + end) for field, end in zip(fields, ends)]
                table(rows or [("  no shadow fields",)])

    class InfoHosts(Command):
        """The Arc hosts that have shadow fields: address of the object, type, strong count, attached fields.
        Hosts by `Counted` are among them, without a count.

        Usage: info shadow-hosts [COUNT]
        Shows at most COUNT hosts, 20 by default.
        """

        def __init__(self):
            super().__init__("info shadow-hosts", gdb.COMMAND_DATA)

        def argument(self, argument):
            return int(gdb.parse_and_eval(argument)) if argument else 20

        def show(self, limit):
            need_tables()
            rows, total = [], 0
            for hosts in statics("host::arc::TABLE"):
                for base, groups in shards(hosts):
                    tags = read(base, 4 * groups)
                    total += len(tags) - tags.count(0)
                    if len(rows) < limit and any(tags):
                        some = itertools.islice(entries(base, groups), limit - len(rows))
                        rows.extend(self.row(*entry) for entry in some)
            if rows:
                table(rows)
            print("%d %s" % (total, "host" if total == 1 else "hosts"))

        def row(self, key, payload):
            address = key
            try:
                address, type_, count = owner_of(key, payload)
                attached = [field.name for field in fields_of(payload) if field.value is not NOT_ATTACHED]
                return "%#x" % address, type_, count, ", ".join(attached)
            except Exception as error:
                return "%#x" % address, "<unreadable: %s>" % error, "", ""

    class ShadowFields:
        """The printer of a `ShadowFields`."""

        def __init__(self, value):
            self.value = value

        def to_string(self):
            return "ShadowFields"

        def children(self):
            try:
                with Rust():
                    fields = list(fields_of(int(inmost(self.value)), address_of(self.value)))
                return iter([(field.name, field.value) for field in fields])
            except Exception as error:
                return iter([("?", "<unreadable: %s>" % error)])

    printers = gdb.printing.RegexpCollectionPrettyPrinter("shadow-fields")
    printers.add_printer("ShadowFields", "^%sfields::ShadowFields$" % core, ShadowFields)
    gdb.printing.register_pretty_printer(gdb.current_objfile(), printers, replace=True)
    InfoFields()
    InfoHosts()


register_shadow_fields()
