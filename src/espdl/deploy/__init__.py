"""From a model file to firmware: packages, encryption, flash images, ESP-IDF projects."""

from espdl.deploy.packages import decrypt_file, encrypt_file, list_package, pack_files, unpack_file
from espdl.fbs.keys import read_key

__all__ = ["decrypt_file", "encrypt_file", "list_package", "pack_files", "read_key", "unpack_file"]
