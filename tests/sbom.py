"""``python -m tests.sbom`` writes ``livefeed.cdx.json``: the bill of materials of the wheel (CycloneDX).

The wheel has it in the folder ``sboms`` of its metadata (PEP 770). It lists the components that the wheel contains.
The packages that livefeed needs are not in the wheel: pip chooses their versions, and the metadata has their names.
The file names neither a time nor a machine, so that another build of the wheel is the same.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from livefeed import __version__

ROOT = Path(__file__).parent.parent
FILE = ROOT / "livefeed.cdx.json"
VENDORED = Path("livefeed/static/page/vendor")
_VERSION = re.compile(r"uPlot \(v([0-9.]+)\)")


def text() -> str:
    """Gives the bill of materials of this checkout, as the file has it."""
    livefeed = Component(
        name="livefeed",
        version=__version__,
        type=ComponentType.APPLICATION,
        purl=PackageURL("pypi", name="livefeed", version=__version__),
        bom_ref=f"livefeed=={__version__}",
        licenses=[LicenseExpression("MIT")],
    )
    uplot = _uplot()
    bom = Bom(components=[uplot], serial_number=uuid.uuid5(uuid.NAMESPACE_URL, str(livefeed.purl)))
    bom.metadata.component = livefeed
    bom.register_dependency(livefeed, [uplot])
    made = json.loads(JsonV1Dot6(bom).output_as_string())
    del made["metadata"]["timestamp"]
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _uplot() -> Component:
    """Gives uPlot, with the files of it that livefeed contains."""
    (version,) = _VERSION.findall((ROOT / VENDORED / "uPlot.iife.min.js").read_text("utf-8"))
    files = []
    for line in (ROOT / VENDORED / "SHA256SUMS").read_text("utf-8").splitlines():
        digest, name = line.split()
        files.append(
            Component(
                name=str(VENDORED / name),
                type=ComponentType.FILE,
                bom_ref=str(VENDORED / name),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
        )
    return Component(
        name="uPlot",
        version=version,
        type=ComponentType.LIBRARY,
        supplier=OrganizationalEntity(name="Leon Sorokin"),
        purl=PackageURL("npm", name="uplot", version=version),
        bom_ref=f"uplot@{version}",
        licenses=[LicenseExpression("MIT")],
        components=files,
    )


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
