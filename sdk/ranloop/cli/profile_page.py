"""`python -m ranloop.cli.profile_page xapps/*/` prints the contents of each stack, and the parts that these xApps lack.

docs/profiles.md is its output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ranloop.guard import Rights
from ranloop.node.profile import Entry, Profile, load_profile, profile_names
from ranloop.node.profile_fit import lacks
from ranloop.xapp.manifest import load_manifest

__all__ = ("profile_page",)

_NAMED = 3  # things that an xApp lacks
_HEAD = """\
# Profiles of real stacks

Printed by `python -m ranloop.cli.profile_page xapps/*/`; change `sdk/ranloop/node/profiles`, not this page.

A profile lists the parts of the [vocabulary](vocabulary.md) that a real stack has: measurements at their levels, actions, the
period of new values, and rounding. It tells a developer before deployment whether an xApp would run there:

    ranloop check xapps/mine --profile ocudu                       # the missing parts, one line each; exit code 1
    ranloop run xapps/mine --node sim:one-cell --profile ocudu     # refused for the same reasons, else it runs
    ranloop host sim:one-cell --allow xapps/mine --profile ocudu   # the same for xApps on a bus
    ranloop vocabulary --profile ocudu                             # everything that the stack has

A profile limits any node, a replay as well as the simulator, and adds nothing to it. Catalogues, recordings and the guard see the
limited node; leases, results and the return to the default are the node's own. If a stack fills a name with something else, the
name is not shown, and the refusal has the reason.

None of this was run against these stacks, and an xApp needs an adapter (E2) to reach one. A profile is about the
version of the stack that `read_at` names; a newer one may have more. Facts that could not be found are left out, and listed.
FlexRIC has no profile: it is a RIC, its emulated agents send random values, and the sources do not name their measurements.

## A profile of your own

`--profile ./my-gnb.toml`: the file limits only the parts that it has keys for. `like` starts from a bundled profile; each key in the
file replaces the same key there.

```toml
name = "my-gnb"
title = "our ocudu, whose metrics are renewed every 100 ms"
read_at = "our build of May 2026"
like = "ocudu"

[period]
shortest_ms = 100

[[actions]]
names = ["SetSliceQuota"]
based_on = "the CU-CP's agent is switched off"
```

The keys are those of the bundled files: `[period]` `shortest_ms`; `[[measurements]]` `names` (the catalogue's or the
stack's own spelling), `levels`, `whole` (rounded to the nearest whole number); `[[actions]]` `names`; `[[withheld]]`
`names`, `because`; with them `based_on`, `remark`, `title`, `source` and `left_open` for people to read. `read_at`, the
version of the stack, is needed unless `like` brings it. `actions = []` says that there are none.
"""

_FITS = """\
## Bundled xApps on these stacks

The table has the parts that an xApp asks for and the stack does not have. `ranloop check` lists all of them, with alternatives.
"""


def profile_page(profiles: Mapping[str, Profile], xapps: Mapping[str, Rights]) -> str:
    """The whole page as Markdown.

    Args:
        profiles: Name -> profile.
        xapps: Name -> rights that its manifest asks for.
    """
    parts = [_HEAD, _FITS, *_fits(profiles, xapps)]
    for profile in profiles.values():
        parts += ["", *_section(profile)]
    return "\n".join(parts) + "\n"


def _fits(profiles: Mapping[str, Profile], xapps: Mapping[str, Rights]) -> Iterator[str]:
    yield f"| xApp | {' | '.join(profiles)} |"
    yield "|---" * (1 + len(profiles)) + "|"
    for xapp, rights in xapps.items():
        yield f"| {xapp} | {' | '.join(_fit(profile, rights) for profile in profiles.values())} |"


def _fit(profile: Profile, rights: Rights) -> str:
    found = [lack.wants for lack in lacks(profile, rights)]
    if not found:
        return "runs"
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"no: {', '.join(found[:_NAMED])}{more}"


def _section(profile: Profile) -> Iterator[str]:
    yield f"## `{profile.name}`\n"
    yield f"{profile.title}. Source: {profile.source}. Read at: {profile.read_at}.\n"
    if profile.period:
        yield f"New values every {profile.period.shortest_ms} ms ({profile.period.based_on}).\n"
    yield "| Has | Levels | Based on | Remark |"
    yield "|---|---|---|---|"
    for entry in profile.measurements or ():
        levels = ", ".join(entry.levels) + (", whole numbers" if entry.whole else "")
        yield _row(entry, entry.names, levels)
    for action in profile.actions or ():
        yield _row(action, action.names, "action")
    yield ""
    yield from (
        f"- Not shown: {_code(entry.names)}: there, but {entry.because}." for entry in profile.withheld
    )
    yield from (f"- Left open: {text}" for text in profile.left_open)


def _row(entry: Entry, names: tuple[str, ...], levels: str) -> str:
    return f"| {_code(names)} | {levels} | {entry.based_on} | {entry.remark} |"


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    manifests = [load_manifest(Path(folder)) for folder in sys.argv[1:]]
    bundled = {name: load_profile(name) for name in profile_names()}
    sys.stdout.write(profile_page(bundled, {manifest.name: manifest.rights for manifest in manifests}))
