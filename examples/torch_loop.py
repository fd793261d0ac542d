"""A loss in a plain PyTorch loop: focal loss plus soft F1 on scikit-learn's handwritten digits."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import lossary as L


def main() -> None:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32)
    y = torch.tensor(labels)
    train, test = torch.arange(len(x)).split([1400, len(x) - 1400])

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    # any loss of the catalogue works like this; a sum computes the softmax once.
    # Dice over a batch of labels is one minus the soft F1 score of each class.
    loss = L.FocalLoss("multiclass", gamma=2.0) + 0.5 * L.DiceLoss("multiclass", per="batch")

    for epoch in range(1, 16):
        for batch in train[torch.randperm(len(train))].split(100):
            optimizer.zero_grad()
            value = loss(model(x[batch]), y[batch])
            value.backward()
            optimizer.step()
        if epoch % 5 == 0:
            with torch.no_grad():
                logits = model(x[test])
                parts = ", ".join(f"{name} {part:.3f}" for name, part in loss.parts(logits, y[test]).items())
                accuracy = (logits.argmax(1) == y[test]).float().mean()
            print(f"epoch {epoch:2}: {parts}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
