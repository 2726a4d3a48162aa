tvtfast distill --space pit --arch '{"base_dim":16,"depth":[2,4,6],"mlp_ratio":4,"num_heads":[2,2,2]}' \
    --data-set photos --img-size 32 --teacher resnet10t --teacher-checkpoint teacher.pth \
    --epochs 20 --batch-size 16 --augmentation light --output-dir runs/student
tvtfast export --student runs/student --output student.onnx
tvtfast predict --student runs/student --images photos/test/seven
