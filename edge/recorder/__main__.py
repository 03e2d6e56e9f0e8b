"""Record several stacks of a checkout: `python -m edge.recorder CHECKOUT RESULT STACK…`.

The seeds are placeholders, the same for every site and revision, so that nothing in the result is secret and what
differs between two revisions is what was changed. RESULT becomes JSON: by stack, either `requests`, as the engine would
get them (base64), or why the program refused (`refused`).
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
import yaml

from edge.recorder.recording import Recording, Registered

#: What stands for each secret of a stack file.
PLACEHOLDERS = {
    name: base64.b64encode(bytes([number] * 32)).decode()
    for number, name in enumerate(("seed", "nextSeed", "formerSeed"), start=1)
}


def main(checkout: Path, result: Path, stacks: list[str]) -> None:
    """Record the stacks, one after the other."""
    sys.path[0] = str(checkout)
    recorded: dict[str, Any] = {}
    gc.disable()
    for number, stack in enumerate(stacks):
        recorded[stack] = record(checkout, stack)
        gc.collect()
        if number == 0:
            # What is imported by now stays; to look through it again and again takes a third of the time.
            gc.freeze()
    result.write_text(json.dumps(recorded))


def record(checkout: Path, stack: str) -> dict[str, Any]:
    """Run the checkout's program for one stack."""
    loader, derive = importlib.import_module("config.loader"), importlib.import_module("config.derive")
    seed = derive.Seed.parse(PLACEHOLDERS["seed"])

    def program() -> None:
        with loader.placeholder(seed):
            runpy.run_path(str(checkout / "__main__.py"), run_name="__main__")

    recording = Recording(loader.PROJECT, stack, preview=True, computed=computed)
    try:
        config, secret_keys = stack_config(checkout / f"Pulumi.{stack}.yaml")
        recording.run(program, config, secret_keys)
    except pulumi.RunError as error:
        return {"refused": str(error)}
    except yaml.YAMLError as error:
        return {"refused": f"Pulumi.{stack}.yaml: not YAML: {error}".replace("\n", " ")}
    except Exception as error:
        return {"refused": f"the program fails: {type(error).__name__}: {error}"}
    return {"requests": [base64.b64encode(each.SerializeToString()).decode() for each in recording.requests]}


def stack_config(path: Path) -> tuple[dict[str, str], list[str]]:
    """A stack file's config as the engine hands it over, and which of its keys are secret; those have placeholders."""
    config: dict[str, str] = {}
    secret_keys = []
    content = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    for key, value in content.get("config", {}).items():
        if isinstance(value, Mapping) and "secure" in value:
            config[key] = PLACEHOLDERS.get(key.rpartition(":")[2], "placeholder")
            secret_keys.append(key)
        else:
            config[key] = value if isinstance(value, str) else json.dumps(value, default=str)
    return config, secret_keys


def computed(resource: Registered) -> Mapping[str, str]:
    """Names for what only a provider knows, so that it is seen where they go; a command's output stays unknown."""
    names = {"id": f"<id of {resource.reference}>"}
    if resource.type == "docker:index/remoteImage:RemoteImage":
        names["imageId"] = f"<imageId of {resource.reference}>"
    return names


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
