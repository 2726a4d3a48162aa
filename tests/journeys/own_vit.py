import torch
from torch import nn

import tvtfast
from tvtfast.data import frozen_batch


class MyViT(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def tokens(self, images):
        return self.blocks(self.patches(images).flatten(2).mT)  # [B, N, C]

    def forward(self, images):
        return self.head(self.tokens(images).mean(1))


class MyConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1))
        self.head = nn.Linear(32, 10)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


torch.manual_seed(0)
teacher = tvtfast.load_teacher(  # in earnest a trained one, checkpoint="mine.pth"
    MyConvNet(), feature_fn=lambda net, images: net.body(images)
)
table = tvtfast.score(
    [MyViT(64, 2), MyViT(64, 4), MyViT(96, 2)],
    proxies=("teacher_aware", "weight_norm", "naswot"),
    teacher=teacher,
    images=frozen_batch("digits", batch_size=16),
    feature_fn=lambda net, images: net.tokens(images),
)
print(table.to_pandas()[["params", "teacher_aware", "weight_norm", "naswot"]].round(6))
