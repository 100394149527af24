#pragma once
#include <cstddef>
#include <cstdint>
namespace dl::image {
enum pix_type_t { DL_IMAGE_PIX_TYPE_RGB888 };
struct img_t { void *data; uint16_t width, height; pix_type_t pix_type; };
struct jpeg_img_t { void *data; size_t data_len; };
img_t sw_decode_jpeg(const jpeg_img_t &, pix_type_t);
} // namespace dl::image
