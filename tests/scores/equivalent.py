"""Equivalent mutants: changes of the code that no test can notice, because the code does the same.

Each pattern is searched in the changed line of a surviving mutant. A mutant that a test has killed is never looked up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {
    r"\b(durable|follow_symlinks|check_same_thread)=None|(thread_local|to_soft)=None": "`None` is as false as `False`",
    r"\b(follow_redirects|close|ensure_ascii)=None|\bis_\w+ = None": "`None` is as false as `False`",
    r"\bstrict=(None|False)|zip\(\w+, \w+, \)": "both sequences have one length; `strict` would only report a mistake",
    r'getattr\(.*, "syncfs", \)': "the function exists on this system",
    r'getattr\(error, "sqlite_errorcode", [01]?\)': "no error of SQLite has the default as its number",
    r"st_ctime < limit": "a file that is exactly as old, to the nanosecond",
    r"O_EXCL & _BINARY": "the name has 64 random bits: the file does not exist",
    r"ThreadPoolExecutor\((None|2)\)": "at most one commit runs at a time",
    r"token_bytes\(\w+\)|token_hex\(\w+\)": "a longer random text is as good",
    r'"SHA256"': "the case of the name of a digest does not matter",
    r"isolation_level": "all writes are in transactions that the code begins itself",
    r"range\(0, len\(\w+\), \)": "each query then asks for what the one before has asked, too",
    r"unlink\(missing_ok=(None|False)\)": "where it is used, every error of the removal is passed over",
    r'found, longest = "", 1': "the shortest mount point has one character",
    r'after\.split\(" ", (2)?\)\[0\]': "the first word is the same, however many others are split",
    r'assert .*, "(XX.*|[A-Z ,`.;]+)"$': "only a bug in qwenbuild shows the text of an assertion",
    r"[\"'](?i:accept-encoding|content-encoding|location)[\"']": "a header's name means the same in any case",
    r'"get", url': "httpx writes the name of a method in capitals",
    r'hostname or "XXXX"': "an address without a host has been refused before",
    r'(host|wrong) = ""$': "an empty text is as false as `None`",
    r"_PORTS\.get\(parts\.scheme, (None|1)?\)": "the default is only compared with an address that has another scheme",
    r"aiter_raw\((None|4097)\)": "the storage sends its error in one piece",
    r"fetchmany\(\d+\)|_MARK}\", 201\)": "a larger piece at once gives the same rows",
    r'open\(place, "x", (encoding=(None|"ASCII"))?\)': "digits have one encoding",
    r'max\(1, image|b"(XXIDATXX|idat)"|b.XX"action_key"': "the provenance is then parsed, which says the same",
    r"MODE=RW": "without the parameter SQLite also opens a file that exists",
    r'ask\("(get|post)"': "httpx writes the name of a method in capitals",
    r'_pages\((None, ""|"", None)': "`None` is as empty as no text",
    r"min\(failures, 9\)": "the longest wait is reached before",
    r"file\.read\((None|2)\)": "a larger piece of the file gives the same text",
    r"if step\.entry else 1|if \(step\.entry\) or True": "each step that is restored has an entry",
    r'"(content-type|CONTENT-TYPE|date|DATE|retry-after|RETRY-AFTER)"': "a header's name means the same in any case",
    r"time\.time\(\) <= until_s": "the very instant, to less than a microsecond",
    r'^\s*"post",$': "httpx writes the name of a method in capitals",
    r"httpx\.Limits\((max_keepalive|.*=20, \))": "httpx's own default",
    r"model\.concurrent if .*(or True else 0|else 1)\)$": "the sync interface takes no place among the tasks",
    r"(step|journal)\.submission\) or True": "each of them has a submission",
    r"finish_all\(step\._replace\((verdict=None, )?cause=cause\)": "an ended step shows no verdict",
    r'billed", hint=hint, (name=None|\))$': "the class of the error has this name already",
    r"uri=(None|False)|connect\(uri, (isolation|check)": "this build of SQLite takes addresses in any case",
}


def reason(line: str) -> str:
    """Return why a changed line does the same; empty if it does not, as far as is known."""
    return next((why for pattern, why in REASONS.items() if re.search(pattern, line)), "")
