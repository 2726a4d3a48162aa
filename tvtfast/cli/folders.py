"""Where commands write."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tvtfast.cli.parsing import OUTPUT_FLAGS, Parser
from tvtfast.common.files import CONFIG, replacing
from tvtfast.common.run_folder import CommandFolder


def command_folder(
    cfg: Namespace, default: str | Path, parser: Parser | None = None
) -> CommandFolder:
    """The folder that ``--output-dir`` names, else a default.

    Args:
        cfg: The flags.
        default: The default; another run of that name gets one with a hash of its settings.
        parser: Writes the flags into the folder, once it is that of this run.
    """

    def configure(folder: Path) -> None:
        if parser is not None:
            kept = cfg.clone()
            for flag in OUTPUT_FLAGS:
                del kept[flag]
            with replacing(folder / CONFIG) as target:
                parser.save(kept, target, skip_unset=False)

    path, named = Path(cfg.output_dir or default), bool(cfg.output_dir)
    return CommandFolder(path, named=named, configure=configure)
