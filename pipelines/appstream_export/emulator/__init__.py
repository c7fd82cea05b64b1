"""Emulate AppStream on 127.0.0.1 for tests and the demo: a plug-in of moto for unmodified boto3 clients.

    with Emulator() as aws:
        aws.put("111122223333/eu-west-1", image_builder("cad-01", scope="111122223333/eu-west-1"))
        aws.fail("111122223333/us-east-1", "throttle", times=3)

It uses moto and botocore's model, and no contracts, so that tests check contracts against AWS's own shapes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
