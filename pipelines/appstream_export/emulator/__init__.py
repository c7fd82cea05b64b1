"""AppStream on 127.0.0.1, for tests and the demo: a plug-in of moto that unmodified boto3 clients reach.

    with Emulator() as aws:
        aws.put("111122223333/eu-west-1", image_builder("cad-01", scope="111122223333/eu-west-1"))
        aws.fail("111122223333/us-east-1", "throttle", times=3)

Knows moto and botocore's model, and nothing of contracts: what they map is thus checked against AWS's own shape.
"""

from .emulator import Emulator
from .estate import Estate, EstateEvent
from .faults import FAULTS, Fault
from .gateway import RecordedCall
from .items import make_image_builder

__all__ = ["FAULTS", "Emulator", "Estate", "EstateEvent", "Fault", "RecordedCall", "make_image_builder"]
