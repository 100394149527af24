#pragma once
#include "dl_image_jpeg.hpp"
#include "dl_model_base.hpp"
namespace dl::image {
struct ImagePreprocessor {
    ImagePreprocessor(Model *, const std::vector<float> &mean, const std::vector<float> &std, bool rgb_swap = false, const std::string &input_name = "");
    void enable_letterbox(const std::vector<uint8_t> &background);
    void preprocess(const img_t &, const std::vector<int> &crop = {});
};
} // namespace dl::image
