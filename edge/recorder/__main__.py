"""Record several stacks of a checkout: `python -m edge.recorder CHECKOUT RESULT`; standard input has their configs.

The seeds are placeholders, the same for every site and revision, so that nothing in the result is secret and what
differs between two revisions is what was changed. The input is JSON: by stack, what its file has below `config`. RESULT
becomes JSON: by stack, either `requests`, as the engine would get them (base64), or why the program refused it
(`refused`).
"""

import base64
import gc
import importlib
import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from edge.recorder.recording import Recording, Registered

#: What stands for each secret of a stack file.
PLACEHOLDERS = {
    name: base64.b64encode(bytes([number] * 32)).decode()
    for number, name in enumerate(("seed", "nextSeed", "formerSeed"), start=1)
}


def main(checkout: Path, result: Path, contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Record the stacks, one after the other."""
    sys.path[0] = str(checkout)
    recorded: dict[str, Any] = {}
    gc.disable()
    for number, (stack, content) in enumerate(contents.items()):
        recorded[stack] = record(checkout, stack, content)
        gc.collect()
        if number == 0:
            # What is imported by now stays; to look through it again and again takes a third of the time.
            gc.freeze()
    result.write_text(json.dumps(recorded))


def record(checkout: Path, stack: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Run the checkout's program for one stack."""
    try:
        recording = _run(checkout, stack, content)
    except pulumi.RunError as error:
        return {"refused": str(error)}
    except SystemExit as error:
        return {"refused": f"the program ends itself: sys.exit({error})"}
    except Exception as error:
        return {"refused": f"the program fails: {type(error).__name__}: {error}"}
    return {"requests": [base64.b64encode(each.SerializeToString()).decode() for each in recording.requests]}


def _run(checkout: Path, stack: str, content: Mapping[str, Any]) -> Recording:
    # A revision that cannot even be imported is refused as well: another may mend it.
    loader, derive = importlib.import_module("config.loader"), importlib.import_module("config.derive")
    seed = derive.Seed.parse(PLACEHOLDERS["seed"])

    def program() -> None:
        with loader.placeholder(seed):
            runpy.run_path(str(checkout / "__main__.py"), run_name="__main__")

    recording = Recording(loader.PROJECT, stack, preview=True, computed=computed)
    return recording.run(program, *stack_config(content))


def stack_config(content: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """A stack file's config as the engine hands it over, and which of its keys are secret; those have placeholders."""
    config: dict[str, str] = {}
    secret_keys = []
    for key, value in content.items():
        if isinstance(value, Mapping) and "secure" in value:
            config[key] = PLACEHOLDERS.get(key.rpartition(":")[2], "placeholder")
            secret_keys.append(key)
        else:
            config[key] = _text(value)
    return config, secret_keys


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def computed(resource: Registered) -> Mapping[str, str]:
    """Names for what only a provider knows, so that it is seen where they go; a command's output stays unknown."""
    names = {"id": f"<id of {resource.reference}>"}
    if resource.type == "docker:index/remoteImage:RemoteImage":
        names["imageId"] = f"<imageId of {resource.reference}>"
    return names


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.load(sys.stdin))
