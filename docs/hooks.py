"""What the site holds besides the pages in docs/: the reference, the guide to contributing, and the live reports."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CHECKOUT = Path(__file__).parents[1]
if str(CHECKOUT) not in sys.path:  # mkdocs may be started without this folder on the path
    sys.path.insert(0, str(CHECKOUT))

FINDINGS = "findings.md"  # in the navigation as soon as it is written
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:]+)(#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the findings to the navigation, if there are any."""
    nav: list[Any] = config.nav or []
    if (Path(config.docs_dir) / FINDINGS).is_file() and {"Findings": FINDINGS} not in nav:
        nav.insert(1, {"Findings": FINDINGS})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated."""
    from docs import generated

    pages = generated.pages() | {"contributing.md": (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Name files of the repository that are not part of the site, instead of linking to them."""
    here = (CHECKOUT / "docs" / page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        outside = target.exists() and CHECKOUT / "docs" not in target.parents
        return f"{link[1]} (`{target.relative_to(CHECKOUT)}`)" if outside else link[0]

    return LINK.sub(named, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Render the reports of the results that are part of the suite into the site."""
    import results
    from reports.overview import write_overview, write_report

    for protocol in results.protocols(results.MEASURED):
        write_report(protocol, Path(config.site_dir), measured=True)
    write_overview(Path(config.site_dir))
