"""Networks small enough to be trained in seconds on two cores."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SmallUNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) of three levels, cut down to what two cores train in seconds.

    A U-Net does most of its work at full resolution; this one begins at half of it and enlarges its outputs. Any image
    size works.
    """

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        fine, middle, coarse = width, 2 * width, 4 * width
        self.stem = nn.Sequential(conv_block(channels, fine, kernel=5, stride=2), conv_block(fine, fine))
        self.down1 = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), conv_block(fine, middle), conv_block(middle, middle)
        )
        self.down2 = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), conv_block(middle, coarse), conv_block(coarse, coarse)
        )
        self.up1 = conv_block(coarse + middle, middle)
        self.up0 = conv_block(middle + fine, fine)
        self.head = nn.Conv2d(fine, classes, 1)
        # measured 1.4 times as fast on a CPU; torch's stubs do not know this form of `to`
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, image: Tensor) -> Tensor:
        fine = self.stem(image.contiguous(memory_format=torch.channels_last))
        middle = self.down1(fine)
        coarse = self.down2(middle)
        # concatenated, not added: with sums, cross entropy was seen to stay at "all is background" for many epochs
        middle = self.up1(torch.cat([F.interpolate(coarse, size=middle.shape[2:]), middle], dim=1))
        fine = self.up0(torch.cat([F.interpolate(middle, size=fine.shape[2:]), fine], dim=1))
        return F.interpolate(self.head(fine), size=image.shape[2:], mode="bilinear")


class SmallConvNet(nn.Module):
    """Three convolutions, the average over the image and a linear layer. Any image size works."""

    def __init__(self, channels: int, classes: int, width: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_block(channels, width),
            conv_block(width, 2 * width),
            nn.MaxPool2d(2, ceil_mode=True),
            conv_block(2 * width, 2 * width),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * width * 4, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))


class SmallReader(nn.Module):
    """Convolutions that keep every second column as a frame, and a recurrent layer that reads them in both directions.

    Takes images (N, channels, H, W) and gives logits (N, W / 2, classes). Any size of at least 4 rows works.
    """

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_block(channels, width),
            nn.MaxPool2d(2),
            conv_block(width, 2 * width),
            nn.MaxPool2d((2, 1)),
            conv_block(2 * width, 2 * width),
            nn.AdaptiveAvgPool2d((3, None)),
        )
        self.reader = nn.GRU(3 * 2 * width, 3 * width, bidirectional=True, batch_first=True)
        self.head = nn.Linear(6 * width, classes)

    def forward(self, image: Tensor) -> Tensor:
        frames = self.features(image).flatten(1, 2).transpose(1, 2)
        return self.head(self.reader(frames)[0])


class SmallRegressor(nn.Module):
    """One hidden layer; a number for each row of features."""

    def __init__(self, features: int, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features).squeeze(1)
