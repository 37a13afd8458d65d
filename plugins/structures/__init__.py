"""Containers for what a sample holds, and masks put into images."""

from plugins.structures.crop_masks import CropMasks, windows_of
from plugins.structures.encoded_masks import EncodedMasks
from plugins.structures.paste import paste_masks

__all__ = ['CropMasks', 'EncodedMasks', 'paste_masks', 'windows_of']
