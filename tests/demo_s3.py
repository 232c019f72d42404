"""`make demo-s3`: the demo with corpus and warehouse on a real S3 server of this machine, which is stopped afterwards.

python tests/demo_s3.py [--folder demo-s3]
"""

import argparse
import os
from pathlib import Path

from s3server import S3Server

from devise.sample import demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo-s3"))
    folder = parser.parse_args().folder.resolve()
    with S3Server(folder / "server") as server:
        os.environ |= server.environment()
        if "demo" not in (bucket["Name"] for bucket in server.client().list_buckets()["Buckets"]):
            server.make_bucket("demo")
        demo.run(folder, "s3://demo")
    print(f"(the server is stopped; its objects are files below {folder / 'server' / 'store'})")


if __name__ == "__main__":
    main()
