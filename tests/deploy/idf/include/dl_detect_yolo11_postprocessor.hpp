#pragma once
#include <list>
#include "dl_image_preprocessor.hpp"
namespace dl::detect {
struct result_t { int category; float score; std::vector<int> box; };
struct stage_t { int stride_y, stride_x, offset_y, offset_x; };
struct yolo11PostProcessor {
    yolo11PostProcessor(Model *, image::ImagePreprocessor *, float score_threshold, float nms_threshold, int top_k, const std::vector<stage_t> &);
    void clear_result();
    void postprocess();
    std::list<result_t> &get_result(int width, int height);
};
} // namespace dl::detect
