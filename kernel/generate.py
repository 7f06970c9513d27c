#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes everything that restates the protocol, from kernel/snet.yaml.

Owns the mapping spec -> uapi header, C policies and operation table, Rust constants,
Python constants and the tables of docs/protocol.md. docs/adr/0002-spec-first-protocol.md says why this isn't the kernel
tree's own generator. Run by `make generate`; `generate.py --check` writes nothing and
fails where a file differs from what it would write.
"""

import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
UAPI_LICENSE = "((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)"
MADE = "Generated from kernel/snet.yaml by kernel/generate.py. Do not edit."


class Spec:
    """The parsed spec with the look-ups that every output needs."""

    def __init__(self, path):
        raw = yaml.safe_load(path.read_text())
        self.name, self.version, self.doc = raw["name"], raw["version"], raw["doc"]
        self.definitions = {d["name"]: d for d in raw["definitions"]}
        self.sets = {s["name"]: s for s in raw["attribute-sets"]}
        self.ops = raw["operations"]["list"]
        self.groups = [g["name"] for g in raw["mcast-groups"]["list"]]
        for index, op in enumerate(self.ops, 1):
            op["value"] = index
        for attrs in self.sets.values():
            for index, attr in enumerate(attrs["attributes"], 1):
                attr["value"] = index

    def entries(self, definition):
        """(name, value, doc) of each entry of an enum or flags definition."""
        flags = definition["type"] == "flags"
        start = definition.get("value-start", 0)
        for index, entry in enumerate(definition["entries"]):
            entry = {"name": entry} if isinstance(entry, str) else entry
            value = 1 << index if flags else start + index
            yield entry["name"], value, entry.get("doc")

    def mask(self, name):
        """All bits that a mask of this definition may have."""
        definition = self.definitions[name]
        values = [v for _, v, _ in self.entries(definition)]
        return sum(values) if definition["type"] == "flags" else sum(1 << v for v in values)

    def reachable_sets(self):
        """Nested sets that a request may carry, innermost first."""
        found = []

        def visit(attr):
            name = attr.get("nested-attributes")
            if name is None or name in found:
                return
            for inner in self.sets[name]["attributes"]:
                visit(inner)
            found.append(name)

        for op in self.ops:
            for attr in self.request_attrs(op):
                visit(attr)
        return found

    def request_attrs(self, op):
        mode = op.get("do") or op.get("dump") or {}
        wanted = mode.get("request", {}).get("attributes", [])
        by_name = {a["name"]: a for a in self.sets[op["attribute-set"]]["attributes"]}
        return [by_name[name] for name in wanted]


def upper(text):
    return text.replace("-", "_").upper()


def lower(text):
    return text.replace("-", "_")


def prefix(spec, thing, default):
    return upper(thing.get("name-prefix", f"{spec.name}-{default}-"))


def attr_const(spec, attrs, attr):
    return prefix(spec, attrs, f"a-{attrs['name']}") + upper(attr["name"])


def c_comment(text, indent=""):
    lines = text.strip().splitlines()
    if len(lines) == 1:
        return [f"{indent}/* {lines[0].strip()} */"]
    return [f"{indent}/*"] + [f"{indent} * {l}".rstrip() for l in lines] + [f"{indent} */"]


def uapi_header(spec):
    out = [f"/* SPDX-License-Identifier: {UAPI_LICENSE} */", f"/* {MADE} */",
           "#ifndef _UAPI_LINUX_SNET_H", "#define _UAPI_LINUX_SNET_H", ""]
    out += [f'#define SNET_FAMILY_NAME\t"{spec.name}"', f"#define SNET_FAMILY_VERSION\t{spec.version}"]
    out += [f'#define SNET_MCGRP_{upper(group)}\t"{group}"' for group in spec.groups]
    for definition in spec.definitions.values():
        if definition["type"] == "const":
            out.append(f"#define SNET_{upper(definition['name'])}\t{definition['value']}")
    for definition in spec.definitions.values():
        if definition["type"] == "const":
            continue
        head = prefix(spec, definition, definition["name"])
        out += [""] + c_comment(definition["doc"]) + [f"enum snet_{lower(definition['name'])} {{"]
        for name, value, doc in spec.entries(definition):
            out += c_comment(doc, "\t") if doc else []
            out.append(f"\t{head}{upper(name)} = {value},")
        if definition["type"] == "enum":
            out += ["\t/* private: */", f"\t__{head}MAX,", f"\t{head}MAX = (__{head}MAX - 1)"]
        out.append("};")
    for attrs in spec.sets.values():
        head = prefix(spec, attrs, f"a-{attrs['name']}")
        out += [""] + c_comment(attrs.get("doc", f"Attributes of {attrs['name']}.")) + ["enum {"]
        for attr in attrs["attributes"]:
            out += c_comment(attr["doc"], "\t") if "doc" in attr else []
            out.append(f"\t{head}{upper(attr['name'])} = {attr['value']},")
        out += ["\t/* private: */", f"\t__{head}MAX,", f"\t{head}MAX = (__{head}MAX - 1)", "};"]
    out += ["", "enum {"]
    for op in spec.ops:
        out += c_comment(op["doc"], "\t") if "doc" in op else []
        out.append(f"\tSNET_CMD_{upper(op['name'])} = {op['value']},")
    out += ["\t/* private: */", "\t__SNET_CMD_MAX,", "\tSNET_CMD_MAX = (__SNET_CMD_MAX - 1)", "};",
            "", "#endif /* _UAPI_LINUX_SNET_H */", ""]
    return "\n".join(out)


def c_policy_entry(spec, attr, ranges, owner):
    kind, checks = attr["type"], attr.get("checks", {})
    if kind == "nest":
        return f"NLA_POLICY_NESTED(snet_{lower(attr['nested-attributes'])}_nl_policy)"
    if kind == "binary":
        return f"{{ .type = NLA_BINARY, .len = {checks['max-len']} }}"
    nla = f"NLA_{kind.upper()}"
    if attr.get("enum-as-flags"):
        return f"NLA_POLICY_MASK({nla}, {spec.mask(attr['enum']):#x})"
    if "enum" in attr:
        values = [v for _, v, _ in spec.entries(spec.definitions[attr["enum"]])]
        return f"NLA_POLICY_RANGE({nla}, {min(values)}, {max(values)})"
    if "max" in checks and max(checks["max"], checks.get("min", 0)) > 32767:
        name = f"{owner}_{lower(attr['name'])}_range"
        ranges.append((name, checks.get("min", 0), checks["max"]))
        return f"NLA_POLICY_FULL_RANGE({nla}, &{name})"
    if "min" in checks and "max" in checks:
        return f"NLA_POLICY_RANGE({nla}, {checks['min']}, {checks['max']})"
    if "min" in checks:
        return f"NLA_POLICY_MIN({nla}, {checks['min']})"
    if "max" in checks:
        return f"NLA_POLICY_MAX({nla}, {checks['max']})"
    return f"{{ .type = {nla} }}"


def c_policies(spec):
    ranges, body = [], []

    def table(name, size, attrs, owner, storage=""):
        body.append(f"{storage}const struct nla_policy {name}[{size}] = {{")
        for attr in attrs:
            if attr["type"] == "pad":
                continue
            entry = c_policy_entry(spec, attr, ranges, owner[0])
            body.append(f"\t[{attr_const(spec, owner[1], attr)}] = {entry},")
        body.extend(["};", ""])

    for name in spec.reachable_sets():
        attrs = spec.sets[name]
        size = prefix(spec, attrs, f"a-{name}") + "MAX + 1"
        table(f"snet_{lower(name)}_nl_policy", size, attrs["attributes"], (lower(name), attrs))
    for op in spec.ops:
        attrs = spec.request_attrs(op)
        if attrs:
            last = attr_const(spec, spec.sets["main"], max(attrs, key=lambda a: a["value"]))
            table(f"{lower(op['name'])}_nl_policy", f"{last} + 1", attrs,
                  (lower(op["name"]), spec.sets["main"]), "static ")
    head = []
    for name, low, high in ranges:
        head += [f"static struct netlink_range_validation {name} = {{",
                 f"\t.min = {low}, .max = {high},", "};", ""]
    return head + body


def c_source(spec):
    out = ["// SPDX-License-Identifier: GPL-2.0-only", f"/* {MADE} */", "",
           '#include "netlink_gen.h"', ""] + c_policies(spec)
    out.append("const struct genl_ops snet_nl_ops[SNET_NL_OPS_COUNT] = {")
    for op in spec.ops:
        if "event" in op:
            continue
        name = lower(op["name"])
        out += ["\t{", f"\t\t.cmd = SNET_CMD_{upper(op['name'])},"]
        if "do" in op:
            out.append(f"\t\t.doit = snet_nl_{name}_doit,")
        else:
            out += ["\t\t.start = snet_nl_dump_start,", f"\t\t.dumpit = snet_nl_{name}_dumpit,"]
        attrs = spec.request_attrs(op)
        if attrs:
            out += [f"\t\t.policy = {name}_nl_policy,",
                    f"\t\t.maxattr = ARRAY_SIZE({name}_nl_policy) - 1,"]
        if "admin-perm" in op.get("flags", []):
            out.append("\t\t.flags = GENL_ADMIN_PERM,")
        out.append("\t},")
    out += ["};", ""]
    return "\n".join(out)


def c_header(spec):
    out = ["/* SPDX-License-Identifier: GPL-2.0-only */", f"/* {MADE} */",
           "#ifndef SNET_NETLINK_GEN_H", "#define SNET_NETLINK_GEN_H", "",
           "#include <net/genetlink.h>", "", '#include "uapi/snet.h"', ""]
    for name in spec.reachable_sets():
        size = prefix(spec, spec.sets[name], f"a-{name}") + "MAX + 1"
        out.append(f"extern const struct nla_policy snet_{lower(name)}_nl_policy[{size}];")
    ops = [op for op in spec.ops if "event" not in op]
    out += ["", "int snet_nl_dump_start(struct netlink_callback *cb);"]
    out += ["", f"#define SNET_NL_OPS_COUNT {len(ops)}",
            "extern const struct genl_ops snet_nl_ops[SNET_NL_OPS_COUNT];", ""]
    for op in ops:
        name = lower(op["name"])
        if "do" in op:
            out.append(f"int snet_nl_{name}_doit(struct sk_buff *skb, struct genl_info *info);")
        else:
            out.append(f"int snet_nl_{name}_dumpit(struct sk_buff *skb, struct netlink_callback *cb);")
    out += ["", "#endif /* SNET_NETLINK_GEN_H */", ""]
    return "\n".join(out)


def rust_source(spec):
    out = ["// SPDX-License-Identifier: MIT OR Apache-2.0", f"// {MADE}",
           "//! Numbers of the netlink protocol, as `kernel/snet.yaml` gives them.", "",
           f'/// Name of the generic netlink family.\npub const FAMILY_NAME: &str = "{spec.name}";',
           f"/// Version of the family.\npub const FAMILY_VERSION: u8 = {spec.version};"]

    def doc(text, fallback, indent=""):
        return [f"{indent}/// {line.strip()}".rstrip() for line in (text or fallback).strip().splitlines()]

    for group in spec.groups:
        out += [f"/// Name of the multicast group `{group}`.", f'pub const MCGRP_{upper(group)}: &str = "{group}";']
    for definition in spec.definitions.values():
        name = definition["name"]
        if definition["type"] == "const":
            out += doc(definition.get("doc"), f"`{name}`.")
            out.append(f"pub const {upper(name)}: u32 = {definition['value']};")
    for definition in spec.definitions.values():
        if definition["type"] == "const":
            continue
        out += [""] + doc(definition["doc"], "") + [f"pub mod {lower(definition['name'])} {{"]
        for name, value, text in spec.entries(definition):
            out += doc(text, f"`{name}`.", "    ") + [f"    pub const {upper(name)}: u32 = {value};"]
        out.append("}")
    out += ["", "/// Attribute types, a module for each attribute set.", "pub mod attr {"]
    for attrs in spec.sets.values():
        out += doc(attrs.get("doc"), f"Attributes of {attrs['name']}.", "    ")
        out.append(f"    pub mod {lower(attrs['name'])} {{")
        for attr in attrs["attributes"]:
            out += doc(attr.get("doc"), f"`{attr['name']}`.", "        ")
            out.append(f"        pub const {upper(attr['name'])}: u16 = {attr['value']};")
        out.append("    }")
    out += ["}", "", "/// Commands.", "pub mod cmd {"]
    for op in spec.ops:
        out += doc(op.get("doc"), f"`{op['name']}`.", "    ")
        out.append(f"    pub const {upper(op['name'])}: u8 = {op['value']};")
    out += ["}", ""]
    return "\n".join(out)


def python_source(spec):
    out = ["# SPDX-License-Identifier: MIT OR Apache-2.0", f"# {MADE}",
           '"""Numbers of the netlink protocol, for tests that speak it without libsnet."""', "",
           f'FAMILY_NAME = "{spec.name}"', f"FAMILY_VERSION = {spec.version}"]
    out += [f'MCGRP_{upper(group)} = "{group}"' for group in spec.groups]
    for definition in spec.definitions.values():
        if definition["type"] == "const":
            out.append(f"{upper(definition['name'])} = {definition['value']}")
            continue
        head = prefix(spec, definition, definition["name"]).removeprefix("SNET_")
        out += [f"{head}{upper(name)} = {value}" for name, value, _ in spec.entries(definition)]
    for attrs in spec.sets.values():
        out += [f"{attr_const(spec, attrs, attr).removeprefix('SNET_')} = {attr['value']}"
                for attr in attrs["attributes"]]
    out += [f"CMD_{upper(op['name'])} = {op['value']}" for op in spec.ops]
    out += ["", "# Attribute sets: number → type, or the name of the set that is nested in it.", "SETS = {"]
    for name, attrs in spec.sets.items():
        shapes = (f"{attr['value']}: \"{attr.get('nested-attributes', attr['type'])}\"" for attr in attrs["attributes"])
        out += [f"    \"{name}\": {{"] + [f"        {shape}," for shape in shapes] + ["    },"]
    out += ["}", "# Commands that may be sent → the attributes that they may have.", "REQUESTS = {"]
    for op in spec.ops:
        if "do" in op or "dump" in op:
            out.append(f"    {op['value']}: {[attr['value'] for attr in spec.request_attrs(op)]},")
    dumps = [op["value"] for op in spec.ops if "dump" in op]
    out += ["}", f"DUMPS = {dumps}"]
    return "\n".join(out + [""])


PAGE = ROOT / "docs" / "protocol.md"
BEGIN, END = f"<!-- {MADE} -->\n", "<!-- Here ends what is generated. -->\n"


def cell(text):
    """In one line; `|` would end the cell."""
    return " ".join((text or "").split()).replace("|", "\\|")


def kind_text(attr):
    """Type of an attribute as the page on the protocol has it."""
    checks = attr.get("checks", {})
    if attr["type"] == "nest":
        kind = f"[{attr['nested-attributes']}](#{attr['nested-attributes']})"
    elif "enum" in attr:
        mask = "mask of " if attr.get("enum-as-flags") else ""
        kind = f"{attr['type']}, {mask}[{attr['enum']}](#{attr['enum']})"
    else:
        kind = attr["type"]
    bounds = [f"{low} to {checks['max']}" if "max" in checks else f"from {low}"
              for low in [checks.get("min", 0)] if "max" in checks or "min" in checks]
    bounds += [f"at most {checks['max-len']} bytes"] if "max-len" in checks else []
    several = ["may come several times"] if attr.get("multi-attr") else []
    return ", ".join([kind, *bounds, *several])


def command_rows(op):
    def names(message):
        return ", ".join(f"`{name}`" for name in message.get("attributes", [])) or "-"

    if "event" in op:
        to = f"group `{op['mcgrp']}`" if "mcgrp" in op else "decider"
        return [f"| {op['value']} | `{op['name']}` | kernel → {to} | {names(op['event'])} | - | {cell(op.get('doc'))} |"]
    mode = "do" if "do" in op else "dump"
    reply = names(op[mode]["reply"]) if "reply" in op[mode] else "-"
    return [f"| {op['value']} | `{op['name']}` | {mode} | {names(op[mode]['request'])} | {reply} | {cell(op.get('doc'))} |"]


def protocol_tables(spec):
    out = ["## Commands", "", "| number | command | how | carries | answered with | |", "| --- | --- | --- | --- | --- | --- |"]
    for op in spec.ops:
        out += command_rows(op)
    out += ["", "## Attributes", ""]
    for name, attrs in sorted(spec.sets.items(), key=lambda item: item[0] != "main"):
        out += [f"### {name}", "", cell(attrs.get("doc", "")), ""] if "doc" in attrs else [f"### {name}", ""]
        out += ["| number | attribute | type | |", "| --- | --- | --- | --- |"]
        out += [f"| {attr['value']} | `{attr['name']}` | {kind_text(attr)} | {cell(attr.get('doc'))} |"
                for attr in attrs["attributes"] if attr["type"] != "pad"]
        out.append("")
    out += ["## Numbers", ""]
    for definition in spec.definitions.values():
        if definition["type"] == "const":
            out += [f"`{definition['name']}` is {definition['value']}.", ""]
    for name, definition in spec.definitions.items():
        if definition["type"] == "const":
            continue
        out += [f"### {name}", "", cell(definition["doc"]), "", "| number | name | |", "| --- | --- | --- |"]
        out += [f"| {value} | `{entry}` | {cell(doc)} |" for entry, value, doc in spec.entries(definition)]
        out.append("")
    return "\n".join(out)


def protocol_page(spec):
    """The page as it is, with its tables made anew."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE}: the lines around the generated tables are missing")
    return f"{before}{BEGIN}\n{protocol_tables(spec)}\n{END}{after}"


OUTPUTS = {
    "kernel/uapi/snet.h": uapi_header,
    "kernel/netlink_gen.h": c_header,
    "kernel/netlink_gen.c": c_source,
    "libsnet/src/uapi.rs": rust_source,
    "tests/vm/guest/uapi.py": python_source,
    "docs/protocol.md": protocol_page,
}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(f"usage: {sys.argv[0]} [--check]")
    spec = Spec(ROOT / "kernel" / "snet.yaml")
    stale = []
    for name, render in OUTPUTS.items():
        path, text = ROOT / name, render(spec)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    if check and stale:
        sys.exit(f"not what kernel/snet.yaml says: {', '.join(stale)}; run `make generate`")


if __name__ == "__main__":
    main()
