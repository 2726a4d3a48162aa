"""Hand a trained student over to other programs."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tvtfast.common.files import check_file, check_folder, write_durably
from tvtfast.common.names import did_you_mean
from tvtfast.models import Student, load_student, save_student

_RELATIVE_ERROR = 1e-4
"""Allowed difference of ONNX Runtime's logits, of the largest logit: fp32 in another order."""

_CHECKED_IMAGES = 3
_ONNX = ".onnx"


class ExportError(RuntimeError):
    """The exported model does not compute what the student does."""


def export(student: str | os.PathLike[str] | Student, output: str | os.PathLike[str]) -> Path:
    """Write a student for others to load.

    Args:
        student: A student folder, or a student that was loaded.
        output: A path that ends in ``.onnx`` for an ONNX file; any other is a folder with
            ``model.safetensors``, ``student.json`` and timm's ``config.json``.

    The ONNX model maps ``images`` ``[batch, 3, S, S]``, float32 and normalised, to ``logits``
    ``[batch, classes]`` for any batch; its metadata ``tvtfast.student`` is the card as JSON. Before
    the file is written ONNX Runtime has computed logits of random images with it, for a batch of
    one and of three, and they were those of the student.

    Returns:
        The path that was written.

    Raises:
        ValueError: ``output`` has another suffix.
        OutputError: It cannot be written; said before anything is computed.
        ModuleNotFoundError: ONNX is asked for and its packages are not installed.
        ExportError: ONNX Runtime finds other logits.
    """
    output = check_output(output)
    loaded = student if isinstance(student, Student) else load_student(student)
    if output.suffix != _ONNX:
        save_student(output, loaded.module, loaded.card)
        return output
    content = _onnx(loaded)
    _check(content, loaded)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_durably(output, lambda path: path.write_bytes(content))
    return output


def check_output(output: str | os.PathLike[str]) -> Path:
    """Refuse an output that cannot be written, or whose name promises a format there is none of.

    Raises:
        ValueError: A suffix that is not ``.onnx``.
        OutputError: It cannot be written.
        ModuleNotFoundError: ONNX is asked for and its packages are not installed.
    """
    path = Path(output)
    if path.suffix == _ONNX:
        check_file("output", path)
        _need("onnx", "onnxscript", "onnxruntime")
    elif re.fullmatch(r"\.[A-Za-z]\w*", path.suffix) and not path.is_dir():
        raise ValueError(
            f"output is {os.fspath(output)!r}, and {path.suffix} is no format that students are "
            f"exported to; give a file that ends in {_ONNX}, or a folder without a suffix"
            f"{did_you_mean(path.suffix, (_ONNX,))}"
        )
    else:
        check_folder("output", path)
    return path


def _onnx(student: Student) -> bytes:
    program: Any = torch.onnx.export(
        student.module,
        (_images(student, 2),),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        verbose=False,
    )
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = "tvtfast.student", json.dumps(asdict(student.card))
    serialized: bytes = model.SerializeToString()
    return serialized


def _check(content: bytes, student: Student) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for count in (1, _CHECKED_IMAGES):
        images = _images(student, count)
        with torch.no_grad():
            expected: Tensor = student.module(images)
        try:
            (found,) = session.run(["logits"], {"images": images.numpy()})
        except Exception as error:
            raise ExportError(
                f"ONNX Runtime cannot classify {count} images ({error}); nothing was written. Let "
                "the network compute its shapes from images.shape, not from len(images)"
            ) from error
        difference = (torch.from_numpy(found) - expected).abs().max().item()
        bound = _RELATIVE_ERROR * expected.abs().max().item()
        if not difference <= bound:
            raise ExportError(
                f"ONNX Runtime's logits of {count} images differ by {difference:.3g}, allowed is "
                f"{bound:.3g}; nothing was written. Try other versions of onnxscript and "
                "onnxruntime"
            )


def _images(student: Student, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, *student.card.img_size, generator=generator)


def _need(*packages: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"ONNX files need {', '.join(missing)}; pip install 'tvtfast[export]', or export a "
            "folder"
        )
